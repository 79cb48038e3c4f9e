/* Made by tests/data/gen_eval.py. */
#ifndef MPQ_TESTS_EVAL_EXPECT_H
#define MPQ_TESTS_EVAL_EXPECT_H

enum { WANT_N = 3000, WANT_K = 7 };
static const double want_lse = 13.170980806752347;
static const double want_lse_ref = 13.334032880932307;
static const double want_kl = 0.14891814291662794;
static const unsigned want_top[] = { 1051, 767, 1668, 768, 1974, 803, 2483 };
static const double want_tail = 0.9302464788465629;
static const double want_kl_top = 0.015141152281329708;
static const double want_nll = 1.939186203479767;
static const double want_nll_se = 0.09689799974778543;
static const double want_diff = 0.04115269184112549;
static const double want_diff_se = 0.15276734365935912;
static const double want_ppl = 6.953090266955085;
static const double want_ppl_se = 0.6737405389337432;
static const double want_ppl_diff = 0.2803306393189908;
static const double want_ppl_diff_se = 1.0411702236197586;
static const double want_dp = -0.006446522435538482;
static const double want_dp_se = 0.024767053124747886;
static const double want_rms = 0.15480448168703378;
static const double want_rms_se = 0.01303736536266514;

#endif
