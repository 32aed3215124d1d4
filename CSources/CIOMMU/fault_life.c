/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_life.c - making and ending fault queues, reading them, and reports. The protocols stand in
 * faults.h and fault_queue.h.
 */
#define _GNU_SOURCE
#include "alloc.h"
#include "faults.h"
#include "unit.h"

#include <string.h>
#include <sys/eventfd.h>

#define QUOTA_MOST (1u << 20)
#define REPORTS_MOST (1u << 16)
#define SOFTWARE_REPORTS 64u
#define NUMBERS 65536u

/* ---- Registry: table lock ---- */

bool ciommu_faults_know(struct faults *faults, uint64_t id) {
    pthread_mutex_lock(&faults->lock);
    const struct ciommu_fault_queue *queue = faults->first;
    while (queue != NULL && (queue->behind || !queue->has_id || queue->id != id)) {
        queue = queue->next;
    }
    pthread_mutex_unlock(&faults->lock);
    return queue != NULL;
}

void ciommu_faults_forget(struct ciommu_device *device) {
    if (device->faults != NULL) {
        device->faults->owner = NULL;
        store_release(&device->faults, NULL);
    }
}

/* The lowest number that is free, or NUMBERS. faults.lock. */
static uint32_t take_number(struct faults *faults) {
    for (uint32_t word = 0; word < NUMBERS / 32; word++) {
        if (faults->numbers[word] != UINT32_MAX) {
            uint32_t bit = (uint32_t)__builtin_ctz(~faults->numbers[word]);
            uint32_t number = word * 32 + bit;
            uint32_t classes = number < FAULT_CLASSES ? number + 1 : FAULT_CLASSES;
            faults->numbers[word] |= 1u << bit;
            store_relaxed(&faults->classes, classes > faults->classes ? classes : faults->classes);
            return number;
        }
    }
    return NUMBERS;
}

static void give_number_back(struct faults *faults, uint32_t number) {
    faults->numbers[number / 32] &= ~(1u << number % 32);
}

/* A place in the heap for every port and for every queue's reports. Table lock. */
static bool widen_heap(struct ciommu_unit *unit, bool reports) {
    struct faults *faults = &unit->faults;
    uint32_t places = faults->heap == NULL ? unit->ports.limit : faults->sources;
    places += reports;
    if (faults->heap != NULL && places == faults->sources) {
        return true;
    }
    struct fault_ring **heap = ciommu_allocate(CACHE_LINE, places * sizeof(struct fault_ring *));
    if (heap == NULL) {
        return false;
    }
    pthread_mutex_lock(&faults->lock);
    struct fault_ring **old = faults->heap;
    faults->heap = heap; /* it is empty between passes */
    faults->sources = places;
    pthread_mutex_unlock(&faults->lock);
    ciommu_free(old);
    return true;
}

/* Lists a complete queue, and lets producers find it. Table lock. */
static enum ciommu_status publish(struct ciommu_fault_queue *queue, struct ciommu_device *device) {
    struct ciommu_unit *unit = queue->unit;
    struct faults *faults = &unit->faults;
    bool rest = queue->behind && device == NULL;
    if (device != NULL ? device->faults != NULL : rest && faults->rest != NULL) {
        return CIOMMU_OCCUPIED;
    }
    if (!queue->behind &&
        (ciommu_device_find(&unit->devices, queue->id) || ciommu_faults_know(faults, queue->id))) {
        return CIOMMU_EXISTS;
    }
    if (!widen_heap(unit, queue->config.reports != 0)) {
        return CIOMMU_NO_MEMORY;
    }
    pthread_mutex_lock(&faults->lock);
    queue->number = take_number(faults);
    if (queue->number != NUMBERS) {
        queue->next = faults->first;
        faults->first = queue;
        store_relaxed(&faults->count, faults->count + 1);
    }
    pthread_mutex_unlock(&faults->lock);
    if (queue->number == NUMBERS) {
        faults->sources -= queue->config.reports != 0;
        return CIOMMU_NO_SPACE;
    }
    if (device != NULL) {
        queue->owner = device;
        store_release(&device->faults, queue); /* pairs with fault_record.c: queue_of */
    } else if (rest) {
        store_release(&faults->rest, queue);
    }
    return CIOMMU_OK;
}

/* ---- Making ---- */

static enum ciommu_status check_config(const struct ciommu_fault_queue_config *config) {
    bool reports =
        config->reports == 0 || (config->reports >= 2 && config->reports <= REPORTS_MOST &&
                                 (config->reports & (config->reports - 1)) == 0);
    return config->quota >= 1 && config->quota <= QUOTA_MOST && reports &&
                   (config->flags & ~CIOMMU_FAULT_QUEUE_FOLD) == 0
               ? CIOMMU_OK
               : CIOMMU_INVALID_ARGUMENT;
}

/* `made`: all that is to be known of whose it is. */
static enum ciommu_status create(const struct ciommu_fault_queue *made,
                                 struct ciommu_device *device, struct ciommu_fault_queue **out) {
    struct ciommu_fault_queue *queue = ciommu_allocate(CACHE_LINE, sizeof *queue);
    if (queue == NULL) {
        return CIOMMU_NO_MEMORY;
    }
    *queue = *made;
    queue->notifies = queue->config.ready != NULL;
    enum ciommu_status status =
        ciommu_fault_queue_init(queue) ? CIOMMU_OK : (enum ciommu_status)CIOMMU_NO_MEMORY;
    if (status == CIOMMU_OK && queue->notifies != 0) {
        status = ciommu_events_start(queue->unit);
    }
    if (status == CIOMMU_OK) {
        pthread_mutex_lock(&queue->unit->table_lock);
        status = publish(queue, device);
        pthread_mutex_unlock(&queue->unit->table_lock);
    }
    if (status != CIOMMU_OK) {
        ciommu_fault_queue_fini(queue);
        ciommu_free(queue);
        return status;
    }
    *out = queue;
    return CIOMMU_OK;
}

enum ciommu_status ciommu_fault_queue_create(struct ciommu_unit *unit, struct ciommu_device *device,
                                             const struct ciommu_fault_queue_config *config,
                                             struct ciommu_fault_queue **out) {
    if (unit == NULL || config == NULL || out == NULL || config->size < sizeof *config ||
        check_config(config) != CIOMMU_OK) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (device != NULL && device->unit != unit) {
        return CIOMMU_OTHER_UNIT;
    }
    struct ciommu_fault_queue made = {.unit = unit, .config = *config, .behind = true};
    if (device != NULL) {
        made.has_id = true;
        made.id = device->config.id;
        made.device = device->config;
    }
    return create(&made, device, out);
}

enum ciommu_status
ciommu_fault_queue_create_software(struct ciommu_unit *unit, uint64_t id,
                                   const struct ciommu_fault_queue_config *config,
                                   struct ciommu_fault_queue **out) {
    if (unit == NULL || config == NULL || out == NULL || config->size < sizeof *config ||
        check_config(config) != CIOMMU_OK) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct ciommu_fault_queue made = {.unit = unit, .config = *config, .has_id = true, .id = id};
    made.config.reports = config->reports == 0 ? SOFTWARE_REPORTS : config->reports;
    return create(&made, NULL, out);
}

/* ---- Ending ---- */

/* Takes it out of the lists, after a pass that no slot names it any more; waits for its notice. */
static void unlist(struct ciommu_fault_queue *queue) {
    struct faults *faults = &queue->unit->faults;
    pthread_mutex_lock(&faults->lock);
    (void)ciommu_faults_pass(queue->unit);
    while (queue->notice != NULL && !pthread_equal(queue->notice->thread, pthread_self())) {
        pthread_cond_wait(&faults->given, &faults->lock);
    }
    if (queue->notice != NULL) {
        queue->notice->queue = NULL; /* we are inside it */
    }
    struct ciommu_fault_queue **link = &faults->first;
    while (*link != queue) {
        link = &(*link)->next;
    }
    *link = queue->next;
    if (queue->is_noticed) {
        struct ciommu_fault_queue *before = NULL;
        for (link = &faults->first_notice; *link != queue; link = &before->next_notice) {
            before = *link;
        }
        *link = queue->next_notice;
        faults->last_notice = faults->last_notice == queue ? before : faults->last_notice;
        store_relaxed(&faults->notices, faults->notices - 1);
    }
    give_number_back(faults, queue->number);
    store_relaxed(&faults->count, faults->count - 1);
    pthread_mutex_unlock(&faults->lock);
}

void ciommu_fault_queue_destroy(struct ciommu_fault_queue *queue) {
    if (queue == NULL) {
        return;
    }
    struct ciommu_unit *unit = queue->unit;
    struct faults *faults = &unit->faults;
    pthread_mutex_lock(&unit->table_lock);
    if (queue->owner != NULL) {
        store_release(&queue->owner->faults, NULL);
    } else if (faults->rest == queue) {
        store_release(&faults->rest, NULL);
    }
    pthread_mutex_unlock(&unit->table_lock);
    ciommu_rcu_synchronize(); /* whoever found it has published its record */
    unlist(queue);
    pthread_mutex_lock(&unit->table_lock);
    faults->sources -= queue->config.reports != 0;
    pthread_mutex_unlock(&unit->table_lock);
    ciommu_fault_queue_fini(queue);
    ciommu_free(queue);
}

/* ---- Use ---- */

uint32_t ciommu_fault_read(struct ciommu_fault_queue *queue, struct ciommu_fault_record *records,
                           uint32_t capacity) {
    if (queue == NULL || (records == NULL && capacity != 0)) {
        return 0;
    }
    (void)ciommu_faults_move(queue->unit);
    uint32_t count = ciommu_fault_queue_take(queue, records, capacity);
    ciommu_faults_wake(queue->unit); /* for the queues that we filled on the way */
    return count;
}

enum ciommu_status ciommu_fault_queue_fd(struct ciommu_fault_queue *queue, int *fd) {
    if (queue == NULL || fd == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    enum ciommu_status status = ciommu_events_start(queue->unit);
    if (status != CIOMMU_OK) {
        return status;
    }
    pthread_mutex_lock(&queue->fd_lock);
    bool fresh = queue->fd < 0;
    int made = queue->fd;
    if (fresh && !ciommu_is_denied()) {
        made = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    }
    if (fresh && made >= 0) {
        store_release(&queue->fd, made); /* pairs with ciommu_fault_queue_signal */
        store_relaxed(&queue->notifies, 1);
    }
    pthread_mutex_unlock(&queue->fd_lock);
    if (made < 0) {
        return CIOMMU_NO_MEMORY;
    }
    if (fresh) {
        /* Producers that have not seen `notifies` have published after this. */
        ciommu_rcu_synchronize();
        (void)ciommu_faults_move(queue->unit);
        ciommu_fault_queue_signal(queue);
    }
    *fd = made;
    return CIOMMU_OK;
}

/* ---- Reports ---- */

static enum ciommu_status check_report(const struct ciommu_fault_queue *queue,
                                       const struct ciommu_fault *fault) {
    const struct ciommu_device_config *device = &queue->device;
    bool pasid_ok = fault->pasid <= CIOMMU_PASID_MAX || fault->pasid == CIOMMU_NO_PASID;
    if (fault->reason == CIOMMU_FAULT_NONE || fault->reason > CIOMMU_FAULT_ABORTED || !pasid_ok ||
        fault->stage > CIOMMU_STAGE_NESTED || fault->request > CIOMMU_REQUEST_INTERRUPT) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (queue->reports.slots == NULL) {
        return CIOMMU_UNSUPPORTED;
    }
    bool other = (fault->flags & CIOMMU_FAULT_HAS_DEVICE) != 0 && fault->device != queue->id;
    bool slice = queue->behind && device->share == CIOMMU_SHARE_SLICE;
    bool foreign = queue->has_id && queue->behind && fault->source != device->source;
    bool outside = slice && fault->pasid != CIOMMU_NO_PASID &&
                   (fault->pasid < device->first_pasid || fault->pasid > device->last_pasid);
    return other || foreign || outside || !queue->has_id ? CIOMMU_NOT_OWNED : CIOMMU_OK;
}

enum ciommu_status ciommu_fault_report(struct ciommu_fault_queue *queue,
                                       const struct ciommu_fault *fault) {
    if (queue == NULL || fault == NULL || fault->size < sizeof *fault) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    enum ciommu_status status = check_report(queue, fault);
    if (status != CIOMMU_OK) {
        return status;
    }
    struct faults *faults = &queue->unit->faults;
    struct fault_ring *ring = &queue->reports;
    pthread_mutex_lock(&queue->report_lock);
    if (fault_ring_is_full(ring)) {
        (void)add_release(&queue->lost, 1);
        (void)add_release(&faults->losses, 1);
        status = CIOMMU_NO_SPACE;
    } else {
        struct ciommu_fault *kept = &ring->faults[ring->head & ring->mask];
        *kept = *fault;
        kept->size = sizeof *kept;
        kept->device = queue->id;
        kept->sequence = 0;
        kept->reserved = 0;
        kept->flags = CIOMMU_FAULT_FROM_DEVICE | CIOMMU_FAULT_HAS_DEVICE | CIOMMU_FAULT_RECORDED |
                      (fault->flags & CIOMMU_FAULT_RECOVERABLE);
        struct fault_slot *slot = fault_ring_slot(ring, ring->head);
        slot->queue = queue;
        slot->lost = (uint32_t)load_relaxed(&queue->lost);
        slot->time = ciommu_fault_time();
        slot->stamp = add_seq_cst(&faults->stamp, 1); /* under the lock: ascending in the ring */
        store_release(&ring->head, ring->head + 1);
    }
    pthread_mutex_unlock(&queue->report_lock);
    fence_seq_cst(); /* published before looked; pairs with whoever sets it, then collects */
    if (load_relaxed(&queue->notifies) != 0) {
        events_wake(&queue->unit->events);
    }
    return status;
}
