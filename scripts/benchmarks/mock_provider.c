/* A provider that costs next to nothing: fixed OpenAI, Anthropic and Gemini answers, whole or streamed.
 *
 * usage: mock_provider PORT
 *
 * One thread on epoll. A prompt that holds "[chunks N every M ms]" gets a stream of N chunks, M ms apart on a fixed
 * schedule (0: as fast as the client takes them), one write for each. Every chunk's text is "@<CLOCK_MONOTONIC at its
 * sending, 16 digits, ns>@", so that whoever receives it on this machine knows how long it was under way.
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
#include <time.h>
#include <unistd.h>

enum { MAX_FD = 65536, MAX_REQUEST = 16 << 20, FIRST_BUFFER = 8192, BURST = 16, STAMP_DIGITS = 16, NS_PER_MS = 1000000 };

typedef struct { char *bytes; size_t size; } Text;
typedef struct { Text whole, start, chunk, end; size_t stamp; } Dialect;
typedef struct {
    char *in; size_t in_size, in_room;
    char *out; size_t out_size, out_sent;
    const Dialect *dialect;           /* of the stream that is running, else NULL */
    long left; int64_t every, due;    /* chunks to send, ns between them, when the next is due */
    int place;                        /* in `streaming` */
} Client;

static Client *clients[MAX_FD];
static int streaming[MAX_FD], streams, poller;
static Dialect openai, anthropic, gemini;
static Text models, missing;

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static Text answer(const char *status, const char *json) {
    Text made;
    made.size = (size_t)asprintf(&made.bytes,
        "HTTP/1.1 %s\r\nContent-Type: application/json\r\nx-request-id: req_benchmark\r\nContent-Length: %zu\r\n\r\n%s",
        status, strlen(json), json);
    return made;
}

/* Events, each in an HTTP chunk of its own; `head` puts the answer's head before them. */
static Text events(int head, int ends, const char *const *each) {
    char *bytes = NULL; size_t size;
    FILE *file = open_memstream(&bytes, &size);
    if (head)
        fputs("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nx-request-id: req_benchmark\r\n"
              "Transfer-Encoding: chunked\r\n\r\n", file);
    for (; *each; each++) fprintf(file, "%zx\r\n%s\r\n", strlen(*each), *each);
    if (ends) fputs("0\r\n\r\n", file);
    fclose(file);
    return (Text){bytes, size};
}

#define EVENTS(...) (const char *const[]){__VA_ARGS__, NULL}
#define STAMP "@0000000000000000@"
#define WORDS "Paris is the capital of France. It stands on the Seine, has about two million inhabitants, and has been the seat " \
              "of its kings and governments, with few interruptions, since the tenth century."
#define OPENAI_CHUNK(delta, reason) "data: {\"id\":\"chatcmpl-bench000000000000000000000\",\"object\":\"chat.completion.chunk\"," \
    "\"created\":1764000000,\"model\":\"gpt-4o-mini\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{\"index\":0,\"delta\":" \
    delta ",\"logprobs\":null,\"finish_reason\":" reason "}]}\n\n"
#define ANTHROPIC_EVENT(type, rest) "event: " type "\ndata: {\"type\":\"" type "\"" rest "}\n\n"
#define GEMINI_CHUNK(words, reason) "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"" words "\"}],\"role\":\"model\"}" \
    reason ",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":14,\"candidatesTokenCount\":40,\"totalTokenCount\":54}," \
    "\"modelVersion\":\"gemini-2.5-flash\",\"responseId\":\"bench\"}\r\n\r\n"

static void write_answers(void) {
    openai.whole = answer("200 OK", "{\"id\":\"chatcmpl-bench000000000000000000000\",\"object\":\"chat.completion\",\"created\":1764000000,"
        "\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" WORDS "\",\"refusal\":null},"
        "\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":14,\"completion_tokens\":40,\"total_tokens\":54,"
        "\"prompt_tokens_details\":{\"cached_tokens\":0}},\"system_fingerprint\":\"fp_bench\"}");
    openai.start = events(1, 0, EVENTS(OPENAI_CHUNK("{\"role\":\"assistant\",\"content\":\"\"}", "null")));
    openai.chunk = events(0, 0, EVENTS(OPENAI_CHUNK("{\"content\":\"" STAMP "\"}", "null")));
    openai.end = events(0, 1, EVENTS(OPENAI_CHUNK("{}", "\"stop\""), "data: [DONE]\n\n"));

    anthropic.whole = answer("200 OK", "{\"id\":\"msg_bench00000000000000000\",\"type\":\"message\",\"role\":\"assistant\","
        "\"model\":\"claude-sonnet-4-5\",\"content\":[{\"type\":\"text\",\"text\":\"" WORDS "\"}],\"stop_reason\":\"end_turn\","
        "\"stop_sequence\":null,\"usage\":{\"input_tokens\":14,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
        "\"output_tokens\":40}}");
    anthropic.start = events(1, 0, EVENTS(
        ANTHROPIC_EVENT("message_start", ",\"message\":{\"id\":\"msg_bench00000000000000000\",\"type\":\"message\",\"role\":\"assistant\","
            "\"model\":\"claude-sonnet-4-5\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
            "\"usage\":{\"input_tokens\":14,\"output_tokens\":1}}"),
        ANTHROPIC_EVENT("content_block_start", ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}")));
    anthropic.chunk = events(0, 0, EVENTS(
        ANTHROPIC_EVENT("content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" STAMP "\"}")));
    anthropic.end = events(0, 1, EVENTS(
        ANTHROPIC_EVENT("content_block_stop", ",\"index\":0"),
        ANTHROPIC_EVENT("message_delta", ",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":40}"),
        ANTHROPIC_EVENT("message_stop", "")));

    gemini.whole = answer("200 OK", "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"" WORDS "\"}],\"role\":\"model\"},"
        "\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":14,\"candidatesTokenCount\":40,"
        "\"totalTokenCount\":54,\"promptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":14}]},"
        "\"modelVersion\":\"gemini-2.5-flash\",\"responseId\":\"bench\"}");
    gemini.start = events(1, 0, (const char *const[]){NULL});
    gemini.chunk = events(0, 0, EVENTS(GEMINI_CHUNK(STAMP, "")));
    gemini.end = events(0, 1, EVENTS(GEMINI_CHUNK("", ",\"finishReason\":\"STOP\"")));

    Dialect *each[] = {&openai, &anthropic, &gemini};
    for (int i = 0; i < 3; i++) each[i]->stamp = (size_t)(strchr(each[i]->chunk.bytes, '@') + 1 - each[i]->chunk.bytes);
    models = answer("200 OK", "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o-mini\",\"object\":\"model\",\"created\":1764000000,"
        "\"owned_by\":\"openai\",\"type\":\"model\",\"display_name\":\"Mock\",\"created_at\":\"2025-01-01T00:00:00Z\"}],"
        "\"has_more\":false,\"models\":[{\"name\":\"models/gemini-2.5-flash\",\"displayName\":\"Mock\","
        "\"supportedGenerationMethods\":[\"generateContent\"]}]}");
    missing = answer("404 Not Found", "{\"error\":{\"message\":\"No such path.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}");
}

static void watch(int fd, Client *client, int operation) {
    struct epoll_event event = {.events = EPOLLIN | (client->out_size ? EPOLLOUT : 0), .data.fd = fd};
    epoll_ctl(poller, operation, fd, &event);
}

static void stop_streaming(Client *client) {
    if (!client->dialect) return;
    streaming[client->place] = streaming[--streams];
    clients[streaming[client->place]]->place = client->place;
    client->dialect = NULL;
}

static void drop(int fd) {
    Client *client = clients[fd];
    stop_streaming(client);
    clients[fd] = NULL;
    close(fd);
    free(client->in);
    free(client->out);
    free(client);
}

/* Send, and keep what the socket does not take; false if the client has gone. */
static int put(int fd, Client *client, const char *bytes, size_t size) {
    if (!client->out_size) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return 0;
        if (sent > 0) bytes += sent, size -= (size_t)sent;
        if (!size) return 1;
    }
    client->out = realloc(client->out, client->out_size + size);
    memcpy(client->out + client->out_size, bytes, size);
    client->out_size += size;
    watch(fd, client, EPOLL_CTL_MOD);
    return 1;
}

static int flush(int fd, Client *client) {
    ssize_t sent = send(fd, client->out + client->out_sent, client->out_size - client->out_sent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    client->out_sent += (size_t)sent;
    if (client->out_sent == client->out_size) {
        client->out_sent = client->out_size = 0;
        watch(fd, client, EPOLL_CTL_MOD);
    }
    return 1;
}

static int put_chunk(int fd, Client *client) {
    char chunk[1024], digits[STAMP_DIGITS + 1];
    Text made = client->dialect->chunk;
    memcpy(chunk, made.bytes, made.size);
    snprintf(digits, sizeof digits, "%016lld", (long long)now());
    memcpy(chunk + client->dialect->stamp, digits, STAMP_DIGITS);
    return put(fd, client, chunk, made.size);
}

/* Send what is due of a stream; false if the client has gone. */
static int advance(int fd, Client *client, int64_t at) {
    for (int burst = 0; client->left && client->due <= at && !client->out_size && burst < BURST; burst++) {
        if (!put_chunk(fd, client)) return 0;
        client->left--;
        client->due += client->every;
    }
    if (client->left || client->out_size) return 1;
    Text end = client->dialect->end;
    stop_streaming(client);
    return put(fd, client, end.bytes, end.size);
}

/* Advance all streams; gives how many ms until the next is due. */
static int advance_all(void) {
    int64_t at = now(), next = INT64_MAX;
    for (int i = streams - 1; i >= 0; i--) {
        int fd = streaming[i];
        Client *client = clients[fd];
        if (!advance(fd, client, at)) drop(fd);
        else if (client->dialect && !client->out_size && client->due < next) next = client->due;
    }
    if (next == INT64_MAX) return -1;
    return next <= at ? 0 : (int)((next - at + NS_PER_MS - 1) / NS_PER_MS);
}

static int begin_stream(int fd, Client *client, const Dialect *dialect, const char *body) {
    long chunks = 16, every = 0;
    const char *marker = strstr(body, "[chunks ");
    if (marker) sscanf(marker, "[chunks %ld every %ld ms]", &chunks, &every);
    client->dialect = dialect;
    client->left = chunks;
    client->every = every * NS_PER_MS;
    client->due = now();
    client->place = streams;
    streaming[streams++] = fd;
    return put(fd, client, dialect->start.bytes, dialect->start.size);
}

/* `head` and `body` end in NUL. */
static int respond(int fd, Client *client, const char *head, const char *body) {
    const char *line_end = strchr(head, '\r');
    int streamed = strstr(body, "\"stream\":true") || strstr(body, "\"stream\": true");
    const Dialect *dialect = NULL;
    char path[256] = "";
    size_t size = (size_t)(line_end - head);
    if (size >= sizeof path) size = sizeof path - 1;
    memcpy(path, head, size);
    if (strstr(path, "/chat/completions")) dialect = &openai;
    else if (strstr(path, "/messages")) dialect = &anthropic;
    else if (strstr(path, ":streamGenerateContent")) dialect = &gemini, streamed = 1;
    else if (strstr(path, ":generateContent")) dialect = &gemini;
    Text whole = dialect ? dialect->whole : strstr(path, "models") ? models : missing;
    return streamed && dialect ? begin_stream(fd, client, dialect, body) : put(fd, client, whole.bytes, whole.size);
}

/* How long the request at `in` is, its head `head` bytes; 0 while it is not complete. */
static size_t request_size(const char *in, size_t size, size_t head) {
    for (const char *line = in; line < in + head; line = memchr(line, '\n', (size_t)(in + head - line)) + 1) {
        if (!strncasecmp(line, "content-length:", 15)) {
            size_t whole = head + strtoul(line + 15, NULL, 10);
            return whole <= size ? whole : 0;
        }
        if (!strncasecmp(line, "transfer-encoding:", 18)) {
            const char *end = memmem(in + head, size - head, "0\r\n\r\n", 5);
            return end ? (size_t)(end + 5 - in) : 0;
        }
    }
    return head;
}

static int take_requests(int fd, Client *client) {
    size_t done = 0;
    while (!client->dialect && done < client->in_size) {
        char *in = client->in + done, *end = memmem(in, client->in_size - done, "\r\n\r\n", 4);
        if (!end) break;
        size_t head = (size_t)(end + 4 - in), size = request_size(in, client->in_size - done, head);
        if (!size) break;
        char kept = in[size];  /* there is always room for one byte more */
        in[size] = 0;
        if (!respond(fd, client, in, in + head)) return 0;
        in[size] = kept;
        done += size;
    }
    client->in_size -= done;
    memmove(client->in, client->in + done, client->in_size);
    return 1;
}

static int receive(int fd, Client *client) {
    if (client->in_size + 1 >= client->in_room) {
        client->in_room *= 2;
        if (client->in_room > MAX_REQUEST) return 0;
        client->in = realloc(client->in, client->in_room);
    }
    ssize_t got = recv(fd, client->in + client->in_size, client->in_room - client->in_size - 1, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    client->in_size += (size_t)got;
    return take_requests(fd, client);
}

static void take_clients(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= MAX_FD) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        Client *client = clients[fd] = calloc(1, sizeof *client);
        client->in = malloc(client->in_room = FIRST_BUFFER);
        watch(fd, client, EPOLL_CTL_ADD);
    }
}

static int open_listener(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
        perror("mock_provider: cannot listen");
        exit(1);
    }
    return fd;
}

static void serve(int fd, uint32_t what) {
    Client *client = clients[fd];
    if (!client) return;
    int alive = !(what & (EPOLLHUP | EPOLLERR));
    if (alive && what & EPOLLOUT) alive = flush(fd, client);
    if (alive && what & EPOLLIN) alive = receive(fd, client);
    if (!alive) drop(fd);
}

int main(int count, char **arguments) {
    if (count != 2) return fputs("usage: mock_provider PORT\n", stderr), 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    write_answers();
    int listener = open_listener(atoi(arguments[1]));
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &wanted);
    for (int timeout = -1;; timeout = advance_all()) {
        int found = epoll_wait(poller, ready, 256, timeout);
        for (int i = 0; i < found; i++) {
            if (ready[i].data.fd == listener) take_clients(listener);
            else serve(ready[i].data.fd, ready[i].events);
        }
    }
}
