/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * access.c - requests of many bytes: scatter lists and the copy helpers built on them. Everything
 * goes through ciommu_lookup_answer.
 */
#include "translate.h"

#include <string.h>

#define COPY_SEGMENTS 16u

static enum ciommu_status check_request(struct ciommu_port *port,
                                        const struct ciommu_request *request,
                                        const struct ciommu_progress *out) {
    if (port == NULL || request == NULL || out == NULL || out->size < sizeof *out) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (request->length != 0 && request->length - 1 > UINT64_MAX - request->iova) {
        return CIOMMU_WRAPS;
    }
    struct lookup lookup = {request->source, request->pasid, request->iova,
                            request->access, request->flags, NULL};
    return lookup_check(&lookup);
}

static bool continues(const struct ciommu_segment *segment, const struct ciommu_result *result) {
    bool host = segment->host == NULL
                    ? result->host == NULL
                    : result->host != NULL && segment->host + segment->length == result->host;
    return host && segment->address + segment->length == result->address &&
           segment->rights == result->rights;
}

/* Translates from request->iova + *done on, until the end, a fault, or the list is full. Inside a
 * section. */
static void fill_segments(struct ciommu_port *port, const struct ciommu_request *request,
                          uint64_t *done, struct ciommu_segment *segments, uint32_t capacity,
                          struct ciommu_progress *out) {
    struct ciommu_result result = {.size = sizeof result};
    struct lookup lookup = {request->source, request->pasid, 0,
                            request->access, request->flags, NULL};
    out->segments = 0;
    out->outcome = CIOMMU_TRANSLATED_OK;
    while (*done < request->length) {
        lookup.iova = request->iova + *done;
        ciommu_lookup_answer(port, &lookup, &result);
        if (result.outcome != CIOMMU_TRANSLATED_OK) {
            out->outcome = result.outcome;
            if (result.outcome == CIOMMU_FAULT) {
                out->fault = result.fault;
            }
            return;
        }
        uint64_t left = request->length - *done;
        uint64_t length = result.contiguous < left ? result.contiguous : left;
        struct ciommu_segment *segment = out->segments == 0 ? NULL : &segments[out->segments - 1];
        if (segment != NULL && continues(segment, &result)) {
            segment->length += length;
        } else if (out->segments == capacity) {
            return;
        } else {
            segments[out->segments++] = (struct ciommu_segment){
                lookup.iova, result.address, result.host, length, result.rights, result.page_lg2,
            };
        }
        *done += length;
    }
}

enum ciommu_status ciommu_translate_range(struct ciommu_port *port,
                                          const struct ciommu_request *request,
                                          struct ciommu_segment *segments, uint32_t capacity,
                                          struct ciommu_progress *out) {
    enum ciommu_status status = check_request(port, request, out);
    if (status != CIOMMU_OK) {
        return status;
    }
    if (!port_is_inside(port) || (capacity != 0 && segments == NULL)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    out->done = 0;
    fill_segments(port, request, &out->done, segments, capacity, out);
    return CIOMMU_OK;
}

enum direction { FROM_GUEST, TO_GUEST };

/* Copies one segment, or says why it cannot be copied. */
static enum ciommu_status copy_segment(struct ciommu_port *port,
                                       const struct ciommu_segment *segment, unsigned char *buffer,
                                       enum direction direction) {
    if (segment->host == NULL) {
        struct memory_window window = MEMORY_NO_WINDOW;
        ciommu_rcu_lock();
        bool backed = ciommu_memory_host(port->unit->memory, &window, segment->address) != NULL;
        ciommu_rcu_unlock();
        /* Memory that has come since the answer was made is not there for it. */
        bool read_only = backed && direction == TO_GUEST && (window.rights & CIOMMU_WRITE) == 0;
        return read_only ? CIOMMU_READ_ONLY : CIOMMU_NO_HOST_MEMORY;
    }
    if (direction == FROM_GUEST) {
        memcpy(buffer, segment->host, segment->length);
    } else {
        memcpy(segment->host, buffer, segment->length);
        ciommu_port_note_write(port, segment->address, segment->length);
    }
    return CIOMMU_OK;
}

static enum ciommu_status copy(struct ciommu_port *port, const struct ciommu_request *request,
                               unsigned char *buffer, enum direction direction,
                               struct ciommu_progress *out) {
    struct ciommu_request wanted = request == NULL ? (struct ciommu_request){0} : *request;
    wanted.access |= direction == FROM_GUEST ? CIOMMU_READ : CIOMMU_WRITE;
    enum ciommu_status status = check_request(port, request == NULL ? NULL : &wanted, out);
    if (status != CIOMMU_OK) {
        return status;
    }
    if (buffer == NULL && wanted.length != 0) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    struct ciommu_segment segments[COPY_SEGMENTS];
    uint64_t translated = 0;
    out->done = 0;
    out->outcome = CIOMMU_TRANSLATED_OK;
    out->segments = 0;
    port_enter(port);
    while (status == CIOMMU_OK && out->done < wanted.length &&
           out->outcome == CIOMMU_TRANSLATED_OK) {
        fill_segments(port, &wanted, &translated, segments, COPY_SEGMENTS, out);
        for (uint32_t index = 0; status == CIOMMU_OK && index < out->segments; index++) {
            status = copy_segment(port, &segments[index], buffer + out->done, direction);
            out->done += status == CIOMMU_OK ? segments[index].length : 0;
        }
    }
    port_leave(port);
    if (status == CIOMMU_OK && out->outcome == CIOMMU_FAULT) {
        return CIOMMU_FAULTED;
    }
    return status == CIOMMU_OK && out->outcome == CIOMMU_INTERRUPT ? CIOMMU_NO_HOST_MEMORY : status;
}

enum ciommu_status ciommu_read(struct ciommu_port *port, const struct ciommu_request *request,
                               void *buffer, struct ciommu_progress *out) {
    return copy(port, request, buffer, FROM_GUEST, out);
}

enum ciommu_status ciommu_write(struct ciommu_port *port, const struct ciommu_request *request,
                                const void *buffer, struct ciommu_progress *out) {
    return copy(port, request, (unsigned char *)(uintptr_t)buffer, TO_GUEST, out);
}

/* Copies what one range holds of it. Inside a section. */
static enum ciommu_status copy_output(struct ciommu_port *port, uint64_t address,
                                      unsigned char *buffer, uint64_t left,
                                      enum direction direction, uint64_t *copied) {
    struct memory_window *window = &port->windows[1];
    enum ciommu_status status = CIOMMU_OK;
    ciommu_rcu_lock();
    unsigned char *host = ciommu_memory_host(port->unit->memory, window, address);
    if (host == NULL) {
        status = CIOMMU_NO_HOST_MEMORY;
    } else if (direction == TO_GUEST && (window->rights & CIOMMU_WRITE) == 0) {
        status = CIOMMU_READ_ONLY;
    } else {
        uint64_t there = window->length - (address - window->first);
        *copied = there < left ? there : left;
        memcpy(direction == TO_GUEST ? host : buffer, direction == TO_GUEST ? buffer : host,
               *copied);
    }
    ciommu_rcu_unlock();
    if (status == CIOMMU_OK && direction == TO_GUEST) {
        ciommu_port_note_write(port, address, *copied);
    }
    return status;
}

static enum ciommu_status copy_outputs(struct ciommu_port *port, uint64_t address,
                                       unsigned char *buffer, uint64_t length,
                                       enum direction direction, uint64_t *done) {
    if (port == NULL || done == NULL || (buffer == NULL && length != 0)) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (length != 0 && length - 1 > UINT64_MAX - address) {
        return CIOMMU_WRAPS;
    }
    enum ciommu_status status = CIOMMU_OK;
    *done = 0;
    port_enter(port);
    while (status == CIOMMU_OK && *done < length) {
        uint64_t copied = 0;
        status =
            copy_output(port, address + *done, buffer + *done, length - *done, direction, &copied);
        *done += copied;
    }
    port_leave(port);
    return status;
}

enum ciommu_status ciommu_output_read(struct ciommu_port *port, uint64_t address, void *buffer,
                                      uint64_t length, uint64_t *done) {
    return copy_outputs(port, address, buffer, length, FROM_GUEST, done);
}

enum ciommu_status ciommu_output_write(struct ciommu_port *port, uint64_t address,
                                       const void *buffer, uint64_t length, uint64_t *done) {
    return copy_outputs(port, address, (unsigned char *)(uintptr_t)buffer, length, TO_GUEST, done);
}

/* One width of the compare-and-exchange. `*expected` becomes what was found. */
#define EXCHANGE(type)                                                                             \
    static bool exchange_##type(unsigned char *host, uint64_t *expected, uint64_t desired) {       \
        type found = (type) * expected;                                                            \
        bool done = compare_exchange_seq_cst((type *)(void *)host, &found, (type)desired);         \
        *expected = found;                                                                         \
        return done;                                                                               \
    }
EXCHANGE(uint8_t)
EXCHANGE(uint16_t)
EXCHANGE(uint32_t)
EXCHANGE(uint64_t)

static bool exchange(unsigned char *host, uint64_t length, uint64_t *expected, uint64_t desired) {
    switch (length) {
    case 1:
        return exchange_uint8_t(host, expected, desired);
    case 2:
        return exchange_uint16_t(host, expected, desired);
    case 4:
        return exchange_uint32_t(host, expected, desired);
    default:
        return exchange_uint64_t(host, expected, desired);
    }
}

enum ciommu_status ciommu_compare_exchange(struct ciommu_port *port,
                                           const struct ciommu_request *request, uint64_t *expected,
                                           uint64_t desired, bool *exchanged,
                                           struct ciommu_progress *out) {
    struct ciommu_request wanted = request == NULL ? (struct ciommu_request){0} : *request;
    wanted.access |= CIOMMU_READ | CIOMMU_WRITE;
    enum ciommu_status status = check_request(port, request == NULL ? NULL : &wanted, out);
    if (status != CIOMMU_OK) {
        return status;
    }
    bool width =
        wanted.length == 1 || wanted.length == 2 || wanted.length == 4 || wanted.length == 8;
    if (!width || expected == NULL || exchanged == NULL) {
        return CIOMMU_INVALID_ARGUMENT;
    }
    if (wanted.iova % wanted.length != 0) {
        return CIOMMU_MISALIGNED;
    }
    struct ciommu_segment segment;
    uint64_t found = *expected;
    out->done = 0;
    port_enter(port);
    fill_segments(port, &wanted, &out->done, &segment, 1, out);
    if (out->outcome == CIOMMU_FAULT) {
        status = CIOMMU_FAULTED;
    } else if (out->outcome == CIOMMU_INTERRUPT) {
        status = CIOMMU_NO_HOST_MEMORY;
    } else if (segment.host == NULL) {
        unsigned char nothing = 0;
        status = copy_segment(port, &segment, &nothing, TO_GUEST);
    } else {
        *exchanged = exchange(segment.host, wanted.length, &found, desired);
        *expected = found;
        if (*exchanged) {
            ciommu_port_note_write(port, segment.address, wanted.length);
        }
    }
    port_leave(port);
    out->done = status == CIOMMU_OK ? wanted.length : 0;
    return status;
}
