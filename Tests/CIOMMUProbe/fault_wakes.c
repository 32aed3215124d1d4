/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_wakes.c - cases of notices, descriptors and reports.
 */
#define _GNU_SOURCE
#include "fault_world.h"
#include "harness.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define PAGE UINT64_C(4096)
#define LONG 20000 /* milliseconds that nothing takes */

struct listener {
    struct fault_world *world;
    struct ciommu_fault_queue *queue;
    struct ciommu_device *device;
    uint32_t calls; /* atomic */
    uint32_t faults;
    uint32_t inside; /* atomic */
};

static void listen(struct fault_world *world, struct listener *listener,
                   struct ciommu_device *device, ciommu_fault_ready ready) {
    struct ciommu_fault_queue_config config;
    ciommu_fault_queue_config_init(&config);
    config.ready = ready;
    config.context = listener;
    listener->world = world;
    listener->device = device;
    EXPECT_EQUAL(world, ciommu_fault_queue_create(world->unit, device, &config, &listener->queue),
                 CIOMMU_OK);
}

static bool comes_to(const uint32_t *counter, uint32_t value) {
    uint64_t end = probe_now() + LONG;
    while (__atomic_load_n(counter, __ATOMIC_ACQUIRE) < value && probe_now() < end) {
        probe_nap(20000);
    }
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE) >= value;
}

static void read_to_the_end(void *context) {
    struct listener *listener = context;
    EXPECT_EQUAL(listener->world, __atomic_fetch_add(&listener->inside, 1, __ATOMIC_RELAXED), 0);
    while (fault_next(listener->queue).kind == CIOMMU_RECORD_FAULT) {
        (void)__atomic_fetch_add(&listener->faults, 1, __ATOMIC_RELEASE);
    }
    (void)__atomic_fetch_sub(&listener->inside, 1, __ATOMIC_RELAXED);
    (void)__atomic_fetch_add(&listener->calls, 1, __ATOMIC_RELEASE);
}

static void readers_are_called(struct fault_world *world) {
    struct ciommu_device *device = fault_whole(world, 7, FAULT_SOURCE);
    struct listener listener = {0};
    listen(world, &listener, device, read_to_the_end);
    for (uint32_t number = 1; number <= 100; number++) {
        (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, number * PAGE);
        EXPECT(world, comes_to(&listener.faults, number)); /* each wakes the thread anew */
    }
    ciommu_fault_queue_destroy(listener.queue);
    uint32_t calls = listener.calls;
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, 0);
    (void)ciommu_unit_poll(world->unit);
    EXPECT_EQUAL(world, listener.calls, calls);
    (void)ciommu_device_destroy(device, NULL);
}

/* Inside a section nothing is woken; its end does it. */
static void the_end_of_a_section_wakes(struct fault_world *world) {
    struct listener listener = {0};
    listen(world, &listener, NULL, read_to_the_end);
    ciommu_port_enter(world->port);
    (void)fault_make(world, world->port, 1, FAULT_NONE, PAGE);
    (void)fault_make(world, world->port, 1, FAULT_NONE, PAGE);
    ciommu_port_leave(world->port);
    EXPECT(world, comes_to(&listener.faults, 2));
    ciommu_fault_queue_destroy(listener.queue);
}

/* Translates, attaches, detaches and destroys the device that it is about, and its own queue. */
static void do_everything(void *context) {
    struct listener *listener = context;
    struct fault_world *world = listener->world;
    EXPECT_EQUAL(world, fault_next(listener->queue).kind, CIOMMU_RECORD_FAULT);
    struct ciommu_port *port = NULL;
    EXPECT_EQUAL(world, ciommu_port_create(world->unit, &port), CIOMMU_OK);
    (void)fault_make(world, port, FAULT_SOURCE, FAULT_NONE, 2 * PAGE);
    EXPECT_EQUAL(world, ciommu_port_destroy(port), CIOMMU_OK);
    struct ciommu_domain *domain = ciommu_domain_identity(world->unit);
    EXPECT_EQUAL(world, ciommu_device_attach(listener->device, FAULT_NONE, domain), CIOMMU_OK);
    EXPECT_EQUAL(world, ciommu_device_detach(listener->device, NULL, FAULT_NONE), CIOMMU_OK);
    EXPECT_EQUAL(world, ciommu_unit_drain(world->unit, NULL), CIOMMU_OK);
    EXPECT_EQUAL(world, ciommu_device_destroy(listener->device, NULL), CIOMMU_OK);
    ciommu_fault_queue_destroy(listener->queue);
    (void)__atomic_fetch_add(&listener->calls, 1, __ATOMIC_RELEASE);
}

static void a_notice_may_do_everything(struct fault_world *world) {
    for (uint32_t round = 0; round < 20; round++) {
        struct listener listener = {0};
        struct listener other = {0};
        listen(world, &listener, fault_whole(world, 7, FAULT_SOURCE), do_everything);
        listen(world, &other, NULL, read_to_the_end);
        (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, PAGE);
        EXPECT(world, comes_to(&listener.calls, 1));
        (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_NONE, 3 * PAGE);
        EXPECT(world, comes_to(&other.faults, 1));
        ciommu_fault_queue_destroy(other.queue);
    }
}

/* A queue that has something new while its notice runs owes another one: also if the notice runs
 * in a poll, which ends, and the event thread has been turned away meanwhile. */
struct polled {
    struct listener listener;
    struct ciommu_port *port;
    uint32_t stage; /* 1: the first fault; 2: it was read; 3: the second one; atomic */
    pthread_t poller;
};

static uint64_t collected(struct ciommu_fault_queue *queue) {
    struct ciommu_fault_queue_statistics counts = {.size = sizeof counts};
    ciommu_fault_queue_read_statistics(queue, &counts);
    return counts.faults;
}

static void read_while_more_comes(void *context) {
    struct polled *polled = context;
    uint64_t end = probe_now() + LONG;
    read_to_the_end(&polled->listener);
    if (__atomic_load_n(&polled->listener.calls, __ATOMIC_ACQUIRE) == 1) {
        __atomic_store_n(&polled->stage, 2, __ATOMIC_RELEASE);
        /* The event thread, on its first way round, may have come before the poll: then nobody
         * else would collect. */
        while (pthread_equal(pthread_self(), polled->poller) &&
               collected(polled->listener.queue) < 2 && probe_now() < end) {
            probe_nap(20000);
        }
        probe_nap(50000000); /* the event thread comes and goes */
    }
}

static void *fault_twice(void *context) {
    struct polled *polled = context;
    struct fault_world *world = polled->listener.world;
    ciommu_port_enter(polled->port); /* inside, so that nobody is woken */
    (void)fault_make(world, polled->port, 1, FAULT_NONE, PAGE);
    __atomic_store_n(&polled->stage, 1, __ATOMIC_RELEASE);
    (void)comes_to(&polled->stage, 2);
    ciommu_port_leave(polled->port);
    (void)fault_make(world, polled->port, 1, FAULT_NONE, 2 * PAGE);
    return NULL;
}

static void a_poll_leaves_no_notice_behind(struct fault_world *world) {
    struct polled polled = {.port = world->port, .poller = pthread_self()};
    struct ciommu_fault_queue_config config;
    ciommu_fault_queue_config_init(&config);
    config.ready = read_while_more_comes;
    config.context = &polled;
    polled.listener.world = world;
    EXPECT_EQUAL(world,
                 ciommu_fault_queue_create(world->unit, NULL, &config, &polled.listener.queue),
                 CIOMMU_OK);
    pthread_t thread;
    pthread_create(&thread, NULL, fault_twice, &polled);
    EXPECT(world, comes_to(&polled.stage, 1));
    (void)ciommu_unit_poll(world->unit);
    EXPECT(world, comes_to(&polled.listener.faults, 2));
    pthread_join(thread, NULL);
    ciommu_fault_queue_destroy(polled.listener.queue);
}

/* ---- Descriptors ---- */

static bool is_readable(int fd, int milliseconds) {
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    return poll(&wanted, 1, milliseconds) == 1;
}

static void a_descriptor_is_readable_while_there_is_something(struct fault_world *world) {
    struct ciommu_fault_queue *queue = fault_queue(world, NULL, 4, 0);
    (void)fault_make(world, world->port, 1, FAULT_NONE, PAGE); /* before it is made */
    int fd = -1;
    int again = -1;
    EXPECT_EQUAL(world, ciommu_fault_queue_fd(queue, &fd), CIOMMU_OK);
    EXPECT_EQUAL(world, ciommu_fault_queue_fd(queue, &again), CIOMMU_OK);
    EXPECT_EQUAL(world, fd, again);
    EXPECT(world, is_readable(fd, LONG));
    fault_expect_fault(world, queue, 0, PAGE);
    EXPECT(world, !is_readable(fd, 0));
    for (uint64_t number = 1; number < 300; number++) {
        (void)fault_make(world, world->port, 1, FAULT_NONE, number * PAGE);
        EXPECT(world, is_readable(fd, LONG));
        fault_expect_fault(world, queue, number, number * PAGE);
        fault_expect_nothing(world, queue);
        EXPECT(world, !is_readable(fd, 0));
    }
    for (uint64_t number = 300; number < 310; number++) { /* six over the quota */
        (void)fault_make(world, world->port, 1, FAULT_NONE, number * PAGE);
    }
    EXPECT(world, is_readable(fd, LONG));
    for (uint64_t number = 300; number < 304; number++) {
        fault_expect_fault(world, queue, number, number * PAGE);
        EXPECT(world, is_readable(fd, 0));
    }
    fault_expect_loss(world, queue, 304, 6);
    EXPECT(world, !is_readable(fd, 0));
    ciommu_fault_queue_destroy(queue);
}

/* The host has filled the descriptor to its brim, or has read it itself. */
static void a_full_descriptor_loses_nothing(struct fault_world *world) {
    struct ciommu_fault_queue *queue = fault_queue(world, NULL, 10, 0);
    int fd = -1;
    EXPECT_EQUAL(world, ciommu_fault_queue_fd(queue, &fd), CIOMMU_OK);
    uint64_t most = UINT64_MAX - 1;
    EXPECT_EQUAL(world, write(fd, &most, sizeof most), sizeof most);
    (void)fault_make(world, world->port, 1, FAULT_NONE, PAGE);
    EXPECT_EQUAL(world, ciommu_unit_poll(world->unit), UINT64_MAX);
    EXPECT(world, is_readable(fd, LONG));
    fault_expect_fault(world, queue, 0, PAGE);
    (void)fault_make(world, world->port, 1, FAULT_NONE, 2 * PAGE);
    EXPECT(world, is_readable(fd, LONG));
    EXPECT_EQUAL(world, read(fd, &most, sizeof most), sizeof most);
    fault_expect_fault(world, queue, 1, 2 * PAGE);
    (void)fault_make(world, world->port, 1, FAULT_NONE, 3 * PAGE);
    EXPECT(world, is_readable(fd, LONG));
    fault_expect_fault(world, queue, 2, 3 * PAGE);
    ciommu_fault_queue_destroy(queue);
}

/* ---- Reports ---- */

static struct ciommu_fault report_of(uint64_t address) {
    return (struct ciommu_fault){
        .size = sizeof(struct ciommu_fault),
        .reason = CIOMMU_FAULT_PERMISSION,
        .code = 0x12345678,
        .source = 0x77,
        .pasid = CIOMMU_NO_PASID,
        .access = CIOMMU_WRITE,
        .level = CIOMMU_NO_LEVEL,
        .address = address,
        .flags = CIOMMU_FAULT_RECOVERABLE | CIOMMU_FAULT_AMBIGUOUS | CIOMMU_FAULT_UNCLAIMED,
    };
}

static void a_device_in_software_reports(struct fault_world *world) {
    struct ciommu_fault_queue_config config;
    ciommu_fault_queue_config_init(&config);
    config.reports = 4;
    struct ciommu_fault_queue *queue = NULL;
    struct ciommu_fault_queue *other = NULL;
    EXPECT_EQUAL(world, ciommu_fault_queue_create_software(world->unit, 9, &config, &queue),
                 CIOMMU_OK);
    EXPECT_EQUAL(world, ciommu_fault_queue_create_software(world->unit, 9, &config, &other),
                 CIOMMU_EXISTS);
    struct ciommu_device_config taken = {.size = sizeof taken, .source = 1, .id = 9};
    struct ciommu_device *device = NULL;
    EXPECT_EQUAL(world, ciommu_device_create(world->unit, NULL, &taken, &device), CIOMMU_EXISTS);
    struct ciommu_fault fault = report_of(PAGE);
    EXPECT_EQUAL(world, ciommu_fault_report(queue, &fault), CIOMMU_OK);
    struct ciommu_fault_record record = fault_next(queue);
    EXPECT_EQUAL(world, record.fault.flags,
                 CIOMMU_FAULT_FROM_DEVICE | CIOMMU_FAULT_HAS_DEVICE | CIOMMU_FAULT_RECORDED |
                     CIOMMU_FAULT_RECOVERABLE);
    EXPECT_EQUAL(world, record.fault.device, 9);
    EXPECT_EQUAL(world, record.fault.code, 0x12345678);
    EXPECT_EQUAL(world, record.fault.source, 0x77);
    fault.flags |= CIOMMU_FAULT_HAS_DEVICE;
    fault.device = 10;
    EXPECT_EQUAL(world, ciommu_fault_report(queue, &fault), CIOMMU_NOT_OWNED);
    fault.device = 9;
    fault.reason = CIOMMU_FAULT_NONE;
    EXPECT_EQUAL(world, ciommu_fault_report(queue, &fault), CIOMMU_INVALID_ARGUMENT);
    fault.reason = 99;
    EXPECT_EQUAL(world, ciommu_fault_report(queue, &fault), CIOMMU_INVALID_ARGUMENT);
    fault.reason = CIOMMU_FAULT_ABORTED;
    for (uint32_t number = 0; number < 6; number++) {
        EXPECT_EQUAL(world, ciommu_fault_report(queue, &fault),
                     number < 4 ? CIOMMU_OK : CIOMMU_NO_SPACE);
    }
    for (uint64_t number = 1; number < 5; number++) {
        fault_expect_fault(world, queue, number, PAGE);
    }
    fault_expect_loss(world, queue, 5, 2);
    (void)fault_make(world, world->port, 0x77, FAULT_NONE, PAGE);
    fault_expect_nothing(world, queue); /* it is not behind the IOMMU */
    ciommu_fault_queue_destroy(queue);
}

/* A device behind the IOMMU reports, too: its own, in order with what the IOMMU saw. */
static void a_slice_reports_its_own(struct fault_world *world) {
    struct ciommu_device *slice = fault_slice(world, 2, FAULT_SOURCE, 1);
    struct ciommu_fault_queue_config config;
    ciommu_fault_queue_config_init(&config);
    struct ciommu_fault_queue *queue = fault_queue(world, slice, 10, 0);
    struct ciommu_fault fault = report_of(2 * PAGE);
    fault.source = FAULT_SOURCE;
    EXPECT_EQUAL(world, ciommu_fault_report(queue, &fault), CIOMMU_UNSUPPORTED);
    ciommu_fault_queue_destroy(queue);
    config.reports = 16;
    EXPECT_EQUAL(world, ciommu_fault_queue_create(world->unit, slice, &config, &queue), CIOMMU_OK);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_SLICE, PAGE);
    EXPECT_EQUAL(world, ciommu_fault_report(queue, &fault), CIOMMU_OK);
    (void)fault_make(world, world->port, FAULT_SOURCE, FAULT_SLICE, 3 * PAGE);
    fault.pasid = 2 * FAULT_SLICE;
    EXPECT_EQUAL(world, ciommu_fault_report(queue, &fault), CIOMMU_NOT_OWNED);
    fault.pasid = 2 * FAULT_SLICE - 1;
    fault.address = 4 * PAGE;
    EXPECT_EQUAL(world, ciommu_fault_report(queue, &fault), CIOMMU_OK);
    fault.source++;
    EXPECT_EQUAL(world, ciommu_fault_report(queue, &fault), CIOMMU_NOT_OWNED);
    for (uint64_t number = 0; number < 4; number++) {
        fault_expect_fault(world, queue, number, (number + 1) * PAGE);
    }
    ciommu_fault_queue_destroy(queue);
    (void)ciommu_device_destroy(slice, NULL);
}

static void configurations_are_checked(struct fault_world *world) {
    struct ciommu_fault_queue_config config;
    struct ciommu_fault_queue *queue = NULL;
    const uint32_t reports[] = {1, 3, 1u << 17};
    for (uint32_t wrong = 0; wrong < 7; wrong++) {
        ciommu_fault_queue_config_init(&config);
        config.quota = wrong == 0 ? 0 : wrong == 1 ? (1u << 20) + 1 : config.quota;
        config.flags = wrong == 2 ? 2 : 0;
        config.size -= wrong == 3 ? 1 : 0;
        config.reports = wrong > 3 ? reports[wrong - 4] : 0;
        EXPECT_EQUAL(world, ciommu_fault_queue_create(world->unit, NULL, &config, &queue),
                     CIOMMU_INVALID_ARGUMENT);
        EXPECT_EQUAL(world, ciommu_fault_queue_create_software(world->unit, 1, &config, &queue),
                     CIOMMU_INVALID_ARGUMENT);
    }
    EXPECT(world, queue == NULL);
    ciommu_fault_queue_destroy(NULL);
}

const struct fault_named_case fault_wake_cases[] = {
    {"readers are called", readers_are_called},
    {"the end of a section wakes", the_end_of_a_section_wakes},
    {"a notice may do everything", a_notice_may_do_everything},
    {"a poll leaves no notice behind", a_poll_leaves_no_notice_behind},
    {"a descriptor is readable while there is something",
     a_descriptor_is_readable_while_there_is_something},
    {"a full descriptor loses nothing", a_full_descriptor_loses_nothing},
    {"a device in software reports", a_device_in_software_reports},
    {"a slice reports its own", a_slice_reports_its_own},
    {"configurations are checked", configurations_are_checked},
    {NULL, NULL},
};
