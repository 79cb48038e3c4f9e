/* What a tool has to settle before it does anything: signals, standard streams, locale.
 */
#include "cli.h"

#include "cli_own.h"

#include "num/linalg.h"

#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_t main_thread; /* makes the output files, signals held back meanwhile */

static void
on_signal(int signal_number)
{
    if (!pthread_equal(pthread_self(), main_thread)) {
        pthread_kill(main_thread, signal_number);
        return;
    }
    mpq_out_remove_all();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* A mapped file that somebody cut short while it was read. */
static void
on_bus_error(int signal_number)
{
    static const char text[] = ": an input file shrank while it was read\n";
    (void)signal_number;
    mpq_out_remove_all();
    if (write(STDERR_FILENO, cli_the_tool->name, strlen(cli_the_tool->name)) < 0 ||
        write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(1);
    _exit(1);
}

/* A closed pipe ends the program quietly through EPIPE, see cli_finish, a file over the
 * limit through EFBIG; other signals take unfinished files with them, but those that
 * the caller had ignored (nohup) stay ignored. */
static void
set_signals(void)
{
    static const int fatal[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU };
    struct sigaction sa = { 0 }, old;

    main_thread = pthread_self();
    sa.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &sa, NULL);
    sigaction(SIGXFSZ, &sa, NULL);
    sa.sa_handler = on_signal;
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        if (sigaction(fatal[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(fatal[i], &sa, NULL);
    sa.sa_handler = on_bus_error;
    sigaction(SIGBUS, &sa, NULL);
}

/* A standard stream that the caller closed is made one that fails when it is used:
 * otherwise the next file opened, the output say, would take its place and receive all
 * that is meant for it. */
static void
hold_standard_streams(void)
{
    static const int mode[] = { O_WRONLY, O_RDONLY, O_RDONLY };

    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", mode[fd]) != fd)
            _exit(1);
}

void
cli_start(char **argv)
{
    mpq_linalg_start(argv);
    hold_standard_streams();
    setlocale(LC_ALL, "C");
    set_signals();
}
