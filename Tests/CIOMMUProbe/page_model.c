/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_model.c - see page_model.h.
 */
#include "page_model.h"
#include "ciommu_pages.h"

#include <string.h>

void model_init(struct model *model) {
    memset(model, 0, sizeof *model);
    for (uint32_t device = 0; device < MODEL_DEVICES; device++) {
        for (uint32_t pasid = 0; pasid < MODEL_PASIDS; pasid++) {
            model->attached[device][pasid] = -1;
        }
    }
    for (uint32_t domain = 0; domain < MODEL_DOMAINS; domain++) {
        model->open[domain] = true;
    }
}

static bool is_complete(const struct model_group *group) {
    return group->state == MODEL_WAITING || group->state == MODEL_READ;
}

uint32_t model_used(const struct model *model, uint32_t device) {
    uint32_t used = 0;
    for (uint32_t slot = 0; slot < MODEL_SLOTS; slot++) {
        used += model->groups[slot].state != MODEL_FREE && model->groups[slot].device == device;
    }
    return used;
}

static uint32_t pages_used(const struct model *model, uint32_t device) {
    uint32_t used = 0;
    for (uint32_t slot = 0; slot < MODEL_SLOTS; slot++) {
        const struct model_group *group = &model->groups[slot];
        used += group->state != MODEL_FREE && group->device == device ? group->count : 0;
    }
    return used;
}

uint32_t model_waiting(const struct model *model, uint32_t domain, bool read) {
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < MODEL_SLOTS; slot++) {
        const struct model_group *group = &model->groups[slot];
        count += group->state == (read ? MODEL_READ : MODEL_WAITING) && group->domain == domain &&
                 group->leader < 0;
    }
    return count;
}

static uint32_t queue_pages(const struct model *model, uint32_t domain) {
    uint32_t count = 0;
    for (uint32_t slot = 0; slot < MODEL_SLOTS; slot++) {
        const struct model_group *group = &model->groups[slot];
        count +=
            is_complete(group) && group->domain == domain && group->leader < 0 ? group->count : 0;
    }
    return count;
}

/* ---- Answers ---- */

static void note(struct model *model, uint32_t device, uint32_t pasid, uint32_t index,
                 uint32_t code, uint32_t cause) {
    model->answers[model->answer_count++] =
        (struct model_answer){device, index, pasid, code, cause};
}

static void finish(struct model *model, int slot, uint32_t code, uint32_t cause) {
    struct model_group *group = &model->groups[slot];
    note(model, group->device, group->pasid, group->index, code, cause);
    group->state = MODEL_FREE;
}

/* The follower that came first. */
static int first_follower(const struct model *model, int leader) {
    int found = -1;
    for (int slot = 0; slot < (int)MODEL_SLOTS; slot++) {
        const struct model_group *group = &model->groups[slot];
        if (group->state == MODEL_WAITING && group->leader == leader &&
            (found < 0 || group->age < model->groups[found].age)) {
            found = slot;
        }
    }
    return found;
}

/* By anybody but its owner: a follower takes its place. */
static void take_away(struct model *model, int slot, uint32_t code, uint32_t cause) {
    struct model_group *group = &model->groups[slot];
    int heir = group->leader < 0 ? first_follower(model, slot) : -1;
    if (heir >= 0) {
        struct model_group *next = &model->groups[heir];
        next->leader = -1;
        next->order = group->state == MODEL_WAITING ? group->order : ++model->clock;
        for (int other = 0; other < (int)MODEL_SLOTS; other++) {
            if (model->groups[other].state == MODEL_WAITING &&
                model->groups[other].leader == slot) {
                model->groups[other].leader = heir;
            }
        }
    }
    finish(model, slot, code, cause);
}

static void expire(struct model *model, uint32_t domain) {
    for (;;) {
        int late = -1;
        for (int slot = 0; slot < (int)MODEL_SLOTS; slot++) {
            const struct model_group *group = &model->groups[slot];
            if (is_complete(group) && group->domain == domain && group->deadline <= model->time &&
                (late < 0 || group->age < model->groups[late].age)) {
                late = slot;
            }
        }
        if (late < 0) {
            return;
        }
        take_away(model, late, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_DEADLINE);
    }
}

/* ---- Requests ---- */

static int find_gathering(const struct model *model, uint32_t device, uint32_t pasid,
                          uint32_t index) {
    for (int slot = 0; slot < (int)MODEL_SLOTS; slot++) {
        const struct model_group *group = &model->groups[slot];
        if (group->state == MODEL_GATHERING && group->device == device && group->pasid == pasid &&
            group->index == index) {
            return slot;
        }
    }
    return -1;
}

static int new_group(struct model *model, uint32_t device, uint32_t pasid, uint32_t index) {
    if (model_used(model, device) == MODEL_GROUPS) {
        return -1;
    }
    int slot = 0;
    while (model->groups[slot].state != MODEL_FREE) {
        slot++;
    }
    model->groups[slot] = (struct model_group){.state = MODEL_GATHERING,
                                               .device = device,
                                               .pasid = pasid,
                                               .index = index,
                                               .leader = -1,
                                               .born = ++model->clock,
                                               .domain = (uint32_t)model->attached[device][pasid]};
    return slot;
}

static bool contains(const struct model_group *group, const struct model_page *page) {
    for (uint32_t index = 0; index < group->count; index++) {
        if (group->pages[index].address == page->address &&
            group->pages[index].access == page->access) {
            return true;
        }
    }
    return false;
}

static bool asks_for_the_same(const struct model_group *one, const struct model_group *other) {
    bool same = one->count == other->count && !one->private_data && !other->private_data;
    for (uint32_t index = 0; index < one->count && same; index++) {
        same = contains(other, &one->pages[index]);
    }
    return same;
}

/* Domain 0 has a second stage of 48 bits, domain 1 a first stage: canonical addresses. */
static bool is_input(int domain, uint64_t address) {
    uint64_t above = domain == 0 ? address >> 48 : address >> 47;
    return above == 0 || (domain == 1 && above == UINT64_MAX >> 47);
}

/* What a page is answered without its owner: a code, or -1 for nothing. */
static int automatic(const struct model *model, uint32_t device, uint32_t pasid,
                     const struct model_page *page, uint32_t *cause) {
    int domain = model->attached[device][pasid];
    bool read = (page->access & CIOMMU_READ) != 0;
    bool write = (page->access & CIOMMU_WRITE) != 0;
    bool queue = domain >= 0 && model->open[domain];
    if ((queue && !is_input(domain, page->address)) ||
        ((page->access & CIOMMU_PRIVILEGED) != 0 && (read || write)) ||
        ((page->access & CIOMMU_EXECUTE) != 0 && read)) {
        *cause = CIOMMU_PAGE_BY_RULE;
        return CIOMMU_PAGE_INVALID;
    }
    if (domain < 0) {
        *cause = CIOMMU_PAGE_BY_NOT_ATTACHED;
        return CIOMMU_PAGE_INVALID;
    }
    if (!queue) {
        *cause = CIOMMU_PAGE_BY_NOBODY;
        return CIOMMU_PAGE_FAILURE;
    }
    if (model->overflowed[domain]) {
        *cause = CIOMMU_PAGE_BY_OVERFLOW;
        return CIOMMU_PAGE_SUCCESS;
    }
    return -1;
}

static void complete(struct model *model, int slot) {
    struct model_group *group = &model->groups[slot];
    if (group->count > MODEL_QUEUE_PAGES) {
        finish(model, slot, CIOMMU_PAGE_FAILURE, CIOMMU_PAGE_BY_NOBODY);
        return;
    }
    group->age = ++model->clock;
    group->order = group->age;
    group->deadline = model->time + MODEL_TIMEOUT;
    for (int other = 0; other < (int)MODEL_SLOTS; other++) {
        const struct model_group *leader = &model->groups[other];
        if (other != slot && is_complete(leader) && leader->leader < 0 &&
            leader->domain == group->domain && asks_for_the_same(group, leader)) {
            group->leader = other;
            group->state = MODEL_WAITING;
            return;
        }
    }
    uint32_t places =
        model_waiting(model, group->domain, false) + model_waiting(model, group->domain, true);
    if (places < MODEL_QUEUE_GROUPS &&
        queue_pages(model, group->domain) + group->count <= MODEL_QUEUE_PAGES) {
        group->state = MODEL_WAITING;
        return;
    }
    model->overflowed[group->domain] = true;
    finish(model, slot, CIOMMU_PAGE_SUCCESS, CIOMMU_PAGE_BY_OVERFLOW);
    for (int other = 0; other < (int)MODEL_SLOTS; other++) {
        struct model_group *lost = &model->groups[other];
        if (lost->state == MODEL_GATHERING && lost->domain == group->domain) {
            lost->state = MODEL_FREE;
        }
    }
}

enum model_status model_request(struct model *model, uint32_t device, uint32_t pasid,
                                uint32_t index, const struct model_page *page, bool last,
                                bool private_data) {
    uint32_t cause = 0;
    int code = automatic(model, device, pasid, page, &cause);
    bool stop = last && (page->access & (CIOMMU_READ | CIOMMU_WRITE)) == 0;
    int slot = find_gathering(model, device, pasid, index);
    model->answer_count = 0;
    if (stop && cause != CIOMMU_PAGE_BY_RULE) {
        return MODEL_FINE;
    }
    if (code >= 0 && !last && !private_data) {
        return MODEL_FINE;
    }
    bool fresh = slot < 0;
    slot = fresh ? new_group(model, device, pasid, index) : slot;
    if (slot < 0) {
        return MODEL_FULL;
    }
    if (code >= 0) {
        finish(model, slot, (uint32_t)code, cause);
        return MODEL_FINE;
    }
    struct model_group *group = &model->groups[slot];
    if (!contains(group, page)) {
        if (pages_used(model, device) == MODEL_PAGES) {
            group->state = fresh ? MODEL_FREE : group->state;
            return MODEL_FULL;
        }
        group->pages[group->count++] = *page;
    }
    if (last || private_data) {
        group->private_data = private_data;
        complete(model, slot);
    }
    return MODEL_FINE;
}

enum model_status model_request_group(struct model *model, uint32_t device, uint32_t pasid,
                                      const struct model_page *pages, uint32_t count) {
    uint32_t cause = 0;
    int code = -1;
    model->answer_count = 0;
    for (uint32_t index = 0; index < count && code < 0; index++) {
        code = automatic(model, device, pasid, &pages[index], &cause);
        if (code < 0 && (pages[index].access & 7) == 0) {
            code = CIOMMU_PAGE_INVALID;
            cause = CIOMMU_PAGE_BY_RULE;
        }
    }
    int slot = new_group(model, device, pasid, MODEL_WHOLE);
    if (slot < 0) {
        return MODEL_FULL;
    }
    if (code >= 0) {
        finish(model, slot, (uint32_t)code, cause);
        return MODEL_FINE;
    }
    struct model_group *group = &model->groups[slot];
    for (uint32_t index = 0; index < count; index++) {
        if (!contains(group, &pages[index])) {
            if (pages_used(model, device) == MODEL_PAGES) {
                group->state = MODEL_FREE;
                return MODEL_FULL;
            }
            group->pages[group->count++] = pages[index];
        }
    }
    complete(model, slot);
    return MODEL_FINE;
}

/* ---- The owner ---- */

int model_read(struct model *model, uint32_t domain, enum model_status *status) {
    model->answer_count = 0;
    *status = model->open[domain] ? MODEL_NONE : MODEL_CLOSED;
    expire(model, domain);
    int next = -1;
    for (int slot = 0; slot < (int)MODEL_SLOTS; slot++) {
        const struct model_group *group = &model->groups[slot];
        if (group->state == MODEL_WAITING && group->domain == domain && group->leader < 0 &&
            (next < 0 || group->order < model->groups[next].order)) {
            next = slot;
        }
    }
    if (next >= 0) {
        model->groups[next].state = MODEL_READ;
        model->groups[next].cookie = ++model->last_cookie[domain];
        *status = MODEL_FINE;
    }
    return next;
}

static void respond(struct model *model, int slot, uint32_t code) {
    for (int other = 0; other < (int)MODEL_SLOTS; other++) {
        if (model->groups[other].state == MODEL_WAITING && model->groups[other].leader == slot) {
            finish(model, other, code, CIOMMU_PAGE_BY_OWNER);
        }
    }
    finish(model, slot, code, CIOMMU_PAGE_BY_OWNER);
}

enum model_status model_respond(struct model *model, uint32_t domain, uint64_t cookie,
                                uint32_t code) {
    model->answer_count = 0;
    expire(model, domain);
    for (int slot = 0; slot < (int)MODEL_SLOTS; slot++) {
        const struct model_group *group = &model->groups[slot];
        if (group->state == MODEL_READ && group->domain == domain && group->cookie == cookie) {
            respond(model, slot, code);
            return MODEL_FINE;
        }
    }
    return cookie == 0 || cookie > model->last_cookie[domain] ? MODEL_NONE : MODEL_LATE;
}

enum model_status model_respond_by_group(struct model *model, uint32_t domain, uint32_t device,
                                         uint32_t pasid, uint32_t index, uint32_t code) {
    int oldest = -1;
    model->answer_count = 0;
    expire(model, domain);
    for (int slot = 0; slot < (int)MODEL_SLOTS; slot++) {
        const struct model_group *group = &model->groups[slot];
        if (group->state == MODEL_READ && group->domain == domain && group->device == device &&
            group->pasid == pasid && group->index == index &&
            (oldest < 0 || group->age < model->groups[oldest].age)) {
            oldest = slot;
        }
    }
    if (oldest < 0) {
        return MODEL_NONE;
    }
    respond(model, oldest, code);
    return MODEL_FINE;
}

void model_poll(struct model *model) {
    model->answer_count = 0;
    for (uint32_t domain = 0; domain < MODEL_DOMAINS; domain++) {
        expire(model, domain);
    }
}

/* ---- Ends ---- */

static void cancel(struct model *model, int slot) {
    if (model->groups[slot].state == MODEL_GATHERING) {
        model->groups[slot].state = MODEL_FREE;
    } else {
        take_away(model, slot, CIOMMU_PAGE_INVALID, CIOMMU_PAGE_BY_DETACH);
    }
}

/* The groups of a device, or of one of its PASIDs (not MODEL_PASIDS), oldest first. */
static void cancel_all(struct model *model, uint32_t device, uint32_t pasid) {
    for (;;) {
        int next = -1;
        for (int slot = 0; slot < (int)MODEL_SLOTS; slot++) {
            const struct model_group *group = &model->groups[slot];
            if (group->state != MODEL_FREE && group->device == device &&
                (pasid == MODEL_PASIDS || group->pasid == pasid) &&
                (next < 0 || group->born < model->groups[next].born)) {
                next = slot;
            }
        }
        if (next < 0) {
            return;
        }
        cancel(model, next);
    }
}

void model_attach(struct model *model, uint32_t device, uint32_t pasid, int domain) {
    model->answer_count = 0;
    model->attached[device][pasid] = domain;
    cancel_all(model, device, pasid);
}

void model_reset(struct model *model, uint32_t device) {
    model->answer_count = 0;
    for (uint32_t pasid = 0; pasid < MODEL_PASIDS; pasid++) {
        model->attached[device][pasid] = -1;
    }
    cancel_all(model, device, MODEL_PASIDS);
}

void model_close(struct model *model, uint32_t domain) {
    model->answer_count = 0;
    for (int slot = 0; slot < (int)MODEL_SLOTS; slot++) {
        if (model->groups[slot].state != MODEL_FREE && model->groups[slot].domain == domain) {
            cancel(model, slot);
        }
    }
    model->open[domain] = false;
    model->overflowed[domain] = false;
    model->last_cookie[domain] = 0;
}
