/*
 * The process's own confinement: system calls that a thread's work does not need are refused it by the kernel, for
 * good. docs/decisions/ and SECURITY.md say what that promises.
 *
 * Sources: seccomp(2), Linux's Documentation/userspace-api/seccomp_filter.rst and landlock.rst.
 */
#ifndef BASE_SANDBOX_H
#define BASE_SANDBOX_H

#include <stdbool.h>

struct Error;

/* What a thread is for. One that is made by another has at most what that has. */
typedef enum SandboxClass {
    SANDBOX_LOOP,   /* devices, back ends, the monitor; makes the others */
    SANDBOX_VCPU,   /* guest code, and devices under it */
    SANDBOX_DISK,   /* a worker of block/ */
    SANDBOX_VIEWER, /* talks to a VNC client or a browser */
    SANDBOX_CLASSES,
} SandboxClass;

/* Before sandbox_enter(): sandbox_want_network - the loop's thread will make sockets of the internet (a user network).
 * sandbox_want_read - and open the file at @path, or what is in the folder, to read; needs sandbox_has_land(), a kernel
 * with Landlock. */
void sandbox_want_network(void);
void sandbox_want_read(const char *path);
bool sandbox_has_land(void);
/* sandbox_want_aio - before sandbox_enter(): disks are read and written by a ring, which was set up. */
void sandbox_want_aio(void);
/* sandbox_want_kvm - before sandbox_enter(): processors are KVM's, and were made. */
void sandbox_want_kvm(void);
/* sandbox_network - false: sockets of the internet are refused. */
bool sandbox_network(void);

/* sandbox_enter - confine the calling thread, the loop's, and by it those that it makes from now on; files are opened
 * by the broker from here on. False: the kernel has no seccomp. */
bool sandbox_enter(struct Error **errp);
/* sandbox_on - sandbox_enter() was called and did it. */
bool sandbox_on(void);

/* sandbox_thread - confine the calling thread further. Nothing unless sandbox_on(). */
void sandbox_thread(SandboxClass cls);
/* sandbox_broker - the broker's process: it runs and debugs nothing. */
void sandbox_broker(void);

#endif
