/* Preloaded into a process: write(2) to an event file obeys a control page that the test shares.
 *
 * error   errno of the next refusals, 0 for none
 * count   how many writes are refused before all is well again, -1 for no end
 * accept  bytes that still fit before the refusal, -1 for no bound
 * most    the longest write that is done in one piece, 0 for no bound
 * refused, written   what happened
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct control { int64_t error, count, accept, most, refused, written; };

static ssize_t (*real_write)(int, const void *, size_t);
static volatile struct control *control;

__attribute__((constructor)) static void start(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    const char *path = getenv("FAULTS_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        control = page == MAP_FAILED ? NULL : page;
        close(fd);
    }
}

static int is_event_file(int fd) {
    char link[64], target[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, target, sizeof target - 1);
    if (size < 0) return 0;
    target[size] = 0;
    return strstr(target, "tfevents") != NULL;
}

ssize_t write(int fd, const void *data, size_t size) {
    if (!real_write) start();
    if (!control || !is_event_file(fd)) return real_write(fd, data, size);
    if (control->error && control->accept <= 0) {
        if (control->count != 0) {
            if (control->count > 0) control->count--;
            control->refused++;
            errno = (int)control->error;
            return -1;
        }
        control->error = 0;
    }
    if (control->error && control->accept > 0 && (int64_t)size > control->accept)
        size = (size_t)control->accept;
    if (control->most > 0 && (int64_t)size > control->most) size = (size_t)control->most;
    ssize_t done = real_write(fd, data, size);
    if (done > 0) {
        control->written += done;
        if (control->accept > 0) control->accept -= done;
    }
    return done;
}
