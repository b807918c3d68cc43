/* Load on an HTTP server of this machine, and how long its answers take; prints one line of JSON.
 *
 * usage: load closed  PORT REQUEST_FILE CONNECTIONS WARMUP_SECONDS SECONDS REQUESTS
 *        load open    PORT REQUEST_FILE RATE        WARMUP_SECONDS SECONDS
 *        load streams PORT REQUEST_FILE CONNECTIONS ROUNDS         SECONDS CHUNKS
 *
 * closed: every connection sends its next request when the last is answered; ends after SECONDS, or after REQUESTS
 *   where that is not 0.
 * open: requests go out on a fixed schedule whatever the answers do; latency counts from the planned time.
 * In both what is answered in the WARMUP_SECONDS before (on the same connections) counts only in "all".
 * streams: every connection reads ROUNDS streams of CHUNKS stamped chunks (see mock_provider.c) one after the other
 *   (0: until SECONDS are over, which ends the others too). Chunk delay is from the stamp, first token from the request.
 * REQUEST_FILE holds the bytes of a request. Only answers of status 200 that end properly count; the others are errors.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 4096, MAX_OPEN_LOOP = 512, MAX_HEAD = 16384, RECEIVED = 65536, STAMP_DIGITS = 16, DRAIN_SECONDS = 5 };
enum { CLOSED, OPEN, STREAMS };
enum { HEAD, COUNTED, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, TO_THE_END };
static const int64_t SECOND = 1000000000;

typedef struct {
    int fd, busy, state, status, kept_alive;
    char head[MAX_HEAD]; size_t head_size;
    size_t left; int line_size;            /* of the body or its chunk; of a trailer's line */
    int64_t asked;                         /* when the request was sent, or planned */
    int digits; int64_t stamp; long stamps; /* of a stream */
    long rounds;
} Connection;

typedef struct { int64_t *values; size_t size, room; } Sample;

static Connection connections[MAX_CONNECTIONS];
static int mode, opened, poller, port;
static char *request; static size_t request_size;
static Sample latencies, delays, firsts;
static int64_t began, counts_from, ends, planned[1 << 16];
static long all, answered, errors, chunks, expected, lost, rounds, most;
static unsigned backlog_from, backlog_to;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

static void add(Sample *sample, int64_t value) {
    if (sample->size == sample->room)
        sample->values = realloc(sample->values, (sample->room = sample->room ? sample->room * 2 : 4096) * sizeof value);
    sample->values[sample->size++] = value;
}

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print_sample(const char *name, Sample *sample) {
    qsort(sample->values, sample->size, sizeof *sample->values, ascending);
    const double shares[] = {50, 95, 99, 100};
    const char *names[] = {"p50", "p95", "p99", "max"};
    printf(", \"%s\": {\"count\": %zu", name, sample->size);
    for (int i = 0; i < 4 && sample->size; i++) {
        size_t rank = (size_t)(shares[i] / 100 * (double)(sample->size - 1) + 0.5);
        printf(", \"%s\": %.4f", names[i], (double)sample->values[rank] / 1e6);
    }
    printf("}");
}

static int dial(Connection *connection) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) {
        if (fd >= 0) close(fd);
        connection->fd = -1;
        return 0;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = connection};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wanted);
    connection->fd = fd;
    return 1;
}

static void ask(Connection *connection, int64_t at) {
    connection->busy = 1;
    connection->state = HEAD;
    connection->head_size = 0;
    connection->digits = -1;
    connection->stamps = 0;
    connection->asked = at;
    if (connection->fd < 0 && !dial(connection)) { errors++; connection->busy = 0; return; }
    if (send(connection->fd, request, request_size, MSG_NOSIGNAL) < 0) return;  /* its end is seen when it is read */
}

/* ---------- reading an answer ---------- */

static void find_stamps(Connection *connection, const char *bytes, size_t size, int64_t at) {
    for (const char *end = bytes + size; bytes < end; bytes++) {
        if (connection->digits < 0) {
            if (!(bytes = memchr(bytes, '@', (size_t)(end - bytes)))) return;
            connection->digits = 0, connection->stamp = 0;
        } else if (*bytes >= '0' && *bytes <= '9' && connection->digits < STAMP_DIGITS) {
            connection->digits++;
            connection->stamp = connection->stamp * 10 + (*bytes - '0');
        } else {
            if (*bytes == '@' && connection->digits == STAMP_DIGITS) {
                if (!connection->stamps++) add(&firsts, at - connection->asked);
                add(&delays, at - connection->stamp);
                chunks++;
            }
            connection->digits = -1;
        }
    }
}

static void read_head(Connection *connection) {
    connection->head[connection->head_size] = 0;
    connection->status = atoi(connection->head + 9);
    connection->kept_alive = 1;
    connection->state = TO_THE_END;
    for (char *line = connection->head; line && *line; line = strchr(line, '\n'), line += line != NULL) {
        if (!strncasecmp(line, "content-length:", 15)) {
            connection->left = strtoul(line + 15, NULL, 10);
            connection->state = COUNTED;
        } else if (!strncasecmp(line, "transfer-encoding:", 18)) {
            connection->left = 0;
            connection->state = CHUNK_SIZE;
        } else if (!strncasecmp(line, "connection: close", 17)) {
            connection->kept_alive = 0;
        }
    }
}

/* Take in some bytes of an answer: how many were used; *done when it is complete. */
static size_t take(Connection *connection, const char *bytes, size_t size, int64_t at, int *done) {
    size_t used = 1;
    switch (connection->state) {
    case HEAD:
        connection->head[connection->head_size++] = *bytes;
        if (connection->head_size >= 4 && !memcmp(connection->head + connection->head_size - 4, "\r\n\r\n", 4)) {
            read_head(connection);
            *done = connection->state == COUNTED && !connection->left;
        } else if (connection->head_size == MAX_HEAD - 1) {
            connection->head_size = 0;
        }
        return used;
    case CHUNK_SIZE:
        if (*bytes == '\n') {
            connection->state = connection->left ? CHUNK_DATA : TRAILER;
            connection->line_size = 0;
        } else if (*bytes != '\r') {
            connection->left = connection->left * 16 + (size_t)(*bytes <= '9' ? *bytes - '0' : (*bytes | 32) - 'a' + 10);
        }
        return used;
    case CHUNK_END:
        if (*bytes == '\n') connection->state = CHUNK_SIZE;
        return used;
    case TRAILER:
        if (*bytes == '\n') {
            *done = !connection->line_size;
            connection->line_size = 0;
        } else if (*bytes != '\r') connection->line_size++;
        return used;
    default:
        used = connection->state == TO_THE_END || size < connection->left ? size : connection->left;
        if (mode == STREAMS) find_stamps(connection, bytes, used, at);
        connection->left -= connection->state == TO_THE_END ? 0 : used;
        if (!connection->left && connection->state == COUNTED) *done = 1;
        if (!connection->left && connection->state == CHUNK_DATA) connection->state = CHUNK_END;
        return used;
    }
}

static void hang_up(Connection *connection) {
    close(connection->fd);
    connection->fd = -1;
    connection->busy = 0;
}

static void finish(Connection *connection, int64_t at) {
    connection->busy = 0;
    if (!connection->kept_alive) hang_up(connection);
    if (mode == STREAMS) lost += expected - connection->stamps;
    if (connection->status != 200) {
        errors++;
    } else {
        int counts = (mode == OPEN ? connection->asked : at) >= counts_from;
        all++;
        answered += counts;
        if (counts) add(&latencies, at - connection->asked);
    }
    if (mode == CLOSED && at < ends) ask(connection, at);
    if (mode == STREAMS && at < ends && (!rounds || ++connection->rounds < rounds)) ask(connection, now());
    if (mode == OPEN && backlog_from != backlog_to) ask(connection, planned[backlog_from++ & 0xffff]);
}

static void receive(Connection *connection) {
    static char bytes[RECEIVED];
    ssize_t got = recv(connection->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    int64_t at = now();
    if (got <= 0) {
        int whole = connection->busy && connection->state == TO_THE_END, failed = connection->busy && !whole;
        hang_up(connection);
        if (whole) finish(connection, at);
        else if (failed) {
            errors++;
            if (mode != OPEN && at < ends) ask(connection, at);
        }
        return;
    }
    for (size_t used = 0; used < (size_t)got && connection->busy;) {
        int done = 0;
        used += take(connection, bytes + used, (size_t)got - used, at, &done);
        if (done) finish(connection, at);
    }
}

/* ---------- the three ways ---------- */

static void send_planned(int64_t plan) {
    Connection *free_one = NULL;
    for (int i = 0; i < opened && !free_one; i++)
        if (!connections[i].busy) free_one = &connections[i];
    if (!free_one && opened < MAX_OPEN_LOOP) {
        free_one = &connections[opened++];
        free_one->fd = -1;
    }
    if (free_one) ask(free_one, plan);
    else if (backlog_to - backlog_from < 0xffff) planned[backlog_to++ & 0xffff] = plan;
    else errors++;
}

static int busy(void) {
    int count = 0;
    for (int i = 0; i < opened; i++) count += connections[i].busy;
    return count;
}

static void wait_for_answers(int timeout) {
    struct epoll_event ready[256];
    int found = epoll_wait(poller, ready, 256, timeout);
    for (int i = 0; i < found; i++) {
        Connection *connection = ready[i].data.ptr;  /* NULL is the timer's */
        if (connection && connection->fd >= 0) receive(connection);
    }
}

/* Keep all connections busy; they are opened over `spread_ms`, so that streams are not in step. */
static void keep_busy(int wanted, int spread_ms) {
    while (opened < wanted && now() < ends) {
        int64_t from = now();
        connections[opened].fd = -1;
        ask(&connections[opened++], from);
        do wait_for_answers(spread_ms >= wanted); while (now() - from < SECOND / 1000 * spread_ms / wanted);
    }
    int running = 1;
    while (running && now() < ends && !(most && answered >= most)) {
        wait_for_answers(100);
        running = mode == CLOSED || busy();
    }
}

static void keep_to_schedule(long rate) {
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &wanted);
    for (long sent = 0;;) {
        int64_t plan = began + sent * SECOND / rate;
        if (plan >= ends) break;
        struct itimerspec when = {.it_value = {plan / SECOND, plan % SECOND}};
        timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
        if (now() >= plan) { send_planned(plan); sent++; wait_for_answers(0); }
        else wait_for_answers(1000);
    }
    for (int64_t until = now() + DRAIN_SECONDS * SECOND; busy() && now() < until;) wait_for_answers(100);
}

static void read_request(const char *name) {
    FILE *file = fopen(name, "rb");
    if (!file) { perror(name); exit(2); }
    request = malloc(1 << 20);
    request_size = fread(request, 1, 1 << 20, file);
    fclose(file);
}

int main(int count, char **arguments) {
    if (count < 7) return fputs("usage: load closed|open|streams PORT REQUEST_FILE N ... (see load.c)\n", stderr), 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1);
    mode = !strcmp(arguments[1], "closed") ? CLOSED : !strcmp(arguments[1], "open") ? OPEN : STREAMS;
    port = atoi(arguments[2]);
    read_request(arguments[3]);
    long number = atol(arguments[4]), last = count > 7 ? atol(arguments[7]) : 0;
    if (number < 1 || (mode != OPEN && number > MAX_CONNECTIONS)) return fputs("load: that many connections are not possible\n", stderr), 2;
    poller = epoll_create1(EPOLL_CLOEXEC);
    began = now();
    counts_from = began + (mode == STREAMS ? 0 : (int64_t)(atof(arguments[5]) * 1e9));
    ends = counts_from + (int64_t)(atof(arguments[6]) * 1e9);
    if (mode == CLOSED) most = last;
    if (mode == STREAMS) rounds = atol(arguments[5]), expected = last;

    if (mode == OPEN) keep_to_schedule(number);
    else keep_busy((int)number, rounds ? (int)number : 1);

    int64_t over = now();
    printf("{\"seconds\": %.3f, \"all\": %ld, \"answers\": %ld, \"errors\": %ld, \"unanswered\": %d, \"per_second\": %.1f",
           (double)(over - counts_from) / 1e9, all, answered, errors, busy() + (int)(backlog_to - backlog_from),
           (double)answered / ((double)(over - counts_from) / 1e9));
    print_sample("latency_ms", &latencies);
    if (mode == STREAMS) {
        printf(", \"chunks\": %ld, \"lost\": %ld, \"chunks_per_second\": %.1f", chunks, lost, (double)chunks / ((double)(over - began) / 1e9));
        print_sample("delay_ms", &delays);
        print_sample("first_ms", &firsts);
    }
    puts("}");
    return 0;
}
