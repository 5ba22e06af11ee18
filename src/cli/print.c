/* print.c - see print.h. */
#include "cli/print.h"

#include "cli/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

enum { PIECE_BYTES = 4096, PIPED_ANSWER_MS = 250 };

static void new_line(struct buf *out, int depth)
{
    buf_append_char(out, '\n');
    for (int i = 0; i < depth; i++)
        buf_append_cstr(out, "  ");
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* The length of the string that starts with the quote at p. */
static size_t string_len(const char *p, const char *end)
{
    const char *from = p++;

    while (p < end && *p != '"')
        p += *p == '\\' && p + 1 < end ? 2 : 1;
    return (size_t)(p - from) + (p < end);
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && is_space(*p))
        p++;
    return p;
}

/* An opening bracket; returns what is behind it, or behind the closing one when there is nothing between. */
static const char *open_bracket(const char *p, const char *end, int *depth, struct buf *out)
{
    const char *next = skip_space(p + 1, end);

    buf_append_char(out, *p);
    if (next < end && (*next == ']' || *next == '}')) {
        buf_append_char(out, *next);
        return next + 1;
    }
    new_line(out, ++*depth);
    return next;
}

void json_indent(struct slice text, struct buf *out)
{
    const char *p = text.ptr, *end = p + text.len;
    int depth = 0;

    while ((p = skip_space(p, end)) < end) {
        size_t n = 1;
        switch (*p) {
        case '{':
        case '[':
            p = open_bracket(p, end, &depth, out);
            continue;
        case '}':
        case ']':
            new_line(out, --depth);
            break;
        case '"':
            n = string_len(p, end);
            break;
        default:
            break;
        }
        buf_append(out, p, n);
        if (*p == ',')
            new_line(out, depth);
        else if (*p == ':')
            buf_append_char(out, ' ');
        p += n;
    }
}

void print_json(struct slice text)
{
    struct buf out = { 0 };

    json_indent(text, &out);
    buf_append_char(&out, '\n');
    print_text(buf_slice(&out));
    buf_release(&out);
}

void print_text(struct slice text)
{
    /* Flushed piece by piece: a slow terminal then holds back little of what Ctrl-C is to stop. */
    while (text.len && !interrupt_requested() && !ferror(stdout)) {
        size_t n = text.len < PIECE_BYTES ? text.len : PIECE_BYTES;
        fwrite(text.ptr, 1, n, stdout);
        fflush(stdout); /* a failure stays in ferror(stdout), which the end of the command looks at */
        text = slice_from(text, n);
    }
}

void print_note(const char *fmt, ...)
{
    va_list args;

    /* What was printed so far comes first where both go to one terminal. */
    fflush(stdout);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

static bool is_yes(struct slice answer)
{
    answer = slice_trim(answer);
    return answer.len == 0 || slice_eq_nocase(answer, SLICE_LIT("y")) || slice_eq_nocase(answer, SLICE_LIT("yes"));
}

/* An answer that waits on standard input, as in `echo n | dione ...`; an open pipe that stays silent holds up nobody. */
static bool is_refused_by_input(void)
{
    struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
    char answer[16];

    if (isatty(STDIN_FILENO) || poll(&in, 1, PIPED_ANSWER_MS) <= 0 || !fgets(answer, sizeof(answer), stdin))
        return false;
    struct slice word = slice_trim(slice_cstr(answer));
    return slice_eq_nocase(word, SLICE_LIT("n")) || slice_eq_nocase(word, SLICE_LIT("no"));
}

enum status ask(const char *question, bool unattended, bool *ret, struct error *err)
{
    char answer[16];

    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        if (is_refused_by_input()) {
            print_note("%s no", question);
            *ret = false;
            return STATUS_OK;
        }
        print_note("%s (no terminal to ask: %s)", question, unattended ? "yes" : "no");
        *ret = unattended;
        return STATUS_OK;
    }
    printf("%s (Y/n) ", question);
    fflush(stdout);
    bool got = fgets(answer, sizeof(answer), stdin) != NULL;
    if (interrupt_requested()) {
        putchar('\n');
        return interrupt_error(err);
    }
    *ret = got && is_yes(slice_cstr(answer));
    return STATUS_OK;
}

static void read_line(struct buf *ret)
{
    char c;

    while (!interrupt_requested() && read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
        buf_append_char(ret, c);
}

enum status ask_secret(const char *prompt, struct buf *ret, struct error *err)
{
    struct termios before, hidden;

    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return error_set(err, STATUS_INVALID, 0, "there is no terminal to ask at");
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) != 0)
        return error_errno(err, errno, "cannot hide what is typed");
    fputs(prompt, stderr); /* only now: whoever sees it may type at once */
    fflush(stderr);
    read_line(ret);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before); /* as it was: it was accepted before */
    fputc('\n', stderr);
    return interrupt_requested() ? interrupt_error(err) : STATUS_OK;
}
