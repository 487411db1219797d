/* A disk that ails: put before libc in a daemon (LD_PRELOAD), this makes calls on files below AILING_FOLDER fail or take their
 * time, as the lines of the file AILING_ORDERS say at that moment: a kind of call, an errno (0: none; -1: claim success and do
 * nothing) and milliseconds. Files are told apart by the end of their names, if a line has a fourth word. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* What the orders say of this kind of call on this path: 0, an errno or -1. */
static int ails(const char *kind, const char *path) {
    const char *folder = getenv("AILING_FOLDER"), *file = getenv("AILING_ORDERS");
    if (!folder || !file || strncmp(path, folder, strlen(folder)) != 0) return 0;
    char text[512] = "";
    int orders = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    if (orders < 0) return 0;
    ssize_t length = syscall(SYS_read, orders, text, sizeof text - 1);
    syscall(SYS_close, orders);
    text[length < 0 ? 0 : length] = 0;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char word[16], suffix[64] = "";
        int error = 0, millis = 0;
        if (sscanf(line, "%15s %d %d %63s", word, &error, &millis, suffix) < 3 || strcmp(word, kind) != 0) continue;
        size_t end = strlen(suffix), all = strlen(path);
        if (end > all || strcmp(path + all - end, suffix) != 0) continue;
        struct timespec pause = {millis / 1000, (millis % 1000) * 1000000L};
        nanosleep(&pause, NULL);
        return error;
    }
    return 0;
}

static int ails_file(const char *kind, int fd) {
    char link[32], path[4096];
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = kept;
    if (length <= 0) return 0;
    path[length] = 0;
    return ails(kind, path);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE(found) do { int is = (found); if (is > 0) { errno = is; return -1; } if (is < 0) return 0; } while (0)

/* Only opening to write: reading goes on. */
#define OPENING(flags, path) \
    if ((flags) & (O_WRONLY | O_RDWR | O_CREAT)) REFUSE(ails("open", path))
#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE(flags) OPENING(flags, path); return REAL(open)(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) OPENING(flags, path); return REAL(open64)(path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags) OPENING(flags, path); return REAL(openat)(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags) OPENING(flags, path); return REAL(openat64)(dir, path, flags, mode); }

ssize_t write(int fd, const void *bytes, size_t count) { REFUSE(ails_file("write", fd)); return REAL(write)(fd, bytes, count); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { REFUSE(ails_file("write", fd)); return REAL(pwrite)(fd, bytes, count, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) { REFUSE(ails_file("write", fd)); return REAL(pwrite64)(fd, bytes, count, at); }
int ftruncate(int fd, off_t length) { REFUSE(ails_file("write", fd)); return REAL(ftruncate)(fd, length); }
int ftruncate64(int fd, off64_t length) { REFUSE(ails_file("write", fd)); return REAL(ftruncate64)(fd, length); }

int fsync(int fd) { REFUSE(ails_file("sync", fd)); return REAL(fsync)(fd); }
int fdatasync(int fd) { REFUSE(ails_file("sync", fd)); return REAL(fdatasync)(fd); }

int flock(int fd, int operation) { REFUSE(ails_file("lock", fd)); return REAL(flock)(fd, operation); }

void *mmap(void *at, size_t length, int access, int flags, int fd, off_t offset) {
    int found = fd >= 0 ? ails_file("map", fd) : 0;
    if (found) { errno = found; return MAP_FAILED; }
    return REAL(mmap)(at, length, access, flags, fd, offset);
}
void *mmap64(void *at, size_t length, int access, int flags, int fd, off64_t offset) {
    int found = fd >= 0 ? ails_file("map", fd) : 0;
    if (found) { errno = found; return MAP_FAILED; }
    return REAL(mmap64)(at, length, access, flags, fd, offset);
}
