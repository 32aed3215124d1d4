/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * page_model.h - what page requests have to come to, in the plainest words: one thread, arrays,
 * no lists. It shares no code and no structure with the engine.
 */
#ifndef PROBE_PAGE_MODEL_H
#define PROBE_PAGE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_DEVICES 3u
#define MODEL_PASIDS 2u /* of a device */
#define MODEL_DOMAINS 2u
#define MODEL_GROUPS 6u /* limits of an interface */
#define MODEL_PAGES 12u
#define MODEL_QUEUE_GROUPS 5u /* and of a queue */
#define MODEL_QUEUE_PAGES 9u
#define MODEL_TIMEOUT 1000u
#define MODEL_SLOTS 64u
#define MODEL_WHOLE UINT32_MAX /* the index of a group asked for at once */

enum model_status { MODEL_FINE = 0, MODEL_FULL, MODEL_NONE, MODEL_LATE, MODEL_CLOSED };

struct model_page {
    uint64_t address;
    uint32_t access;
};

enum model_state { MODEL_FREE = 0, MODEL_GATHERING, MODEL_WAITING, MODEL_READ };

struct model_group {
    enum model_state state;
    uint32_t device;
    uint32_t pasid; /* 0...MODEL_PASIDS - 1 */
    uint32_t index;
    uint32_t domain;
    bool private_data;
    struct model_page pages[MODEL_PAGES];
    uint32_t count;
    int leader;     /* -1: none */
    uint64_t order; /* among those that wait: position in the queue */
    uint64_t age;   /* order of completion */
    uint64_t born;  /* order of beginning */
    uint64_t deadline;
    uint64_t cookie;
};

struct model_answer {
    uint32_t device;
    uint32_t index;
    uint32_t pasid;
    uint32_t code;
    uint32_t cause;
};

struct model {
    int attached[MODEL_DEVICES][MODEL_PASIDS]; /* domain, or -1 */
    bool open[MODEL_DOMAINS];                  /* the domain has a queue */
    bool overflowed[MODEL_DOMAINS];
    uint64_t last_cookie[MODEL_DOMAINS];
    uint64_t time;
    uint64_t clock; /* of orders and ages */
    struct model_group groups[MODEL_SLOTS];
    struct model_answer answers[MODEL_SLOTS]; /* of the last step */
    uint32_t answer_count;
};

void model_init(struct model *model);

/* Each step forgets the answers of the one before. */
enum model_status model_request(struct model *model, uint32_t device, uint32_t pasid,
                                uint32_t index, const struct model_page *page, bool last,
                                bool private_data);
enum model_status model_request_group(struct model *model, uint32_t device, uint32_t pasid,
                                      const struct model_page *pages, uint32_t count);
/* The group that is read, or -1 and a status. */
int model_read(struct model *model, uint32_t domain, enum model_status *status);
enum model_status model_respond(struct model *model, uint32_t domain, uint64_t cookie,
                                uint32_t code);
enum model_status model_respond_by_group(struct model *model, uint32_t domain, uint32_t device,
                                         uint32_t pasid, uint32_t index, uint32_t code);
void model_poll(struct model *model);
/* domain: -1 detaches */
void model_attach(struct model *model, uint32_t device, uint32_t pasid, int domain);
void model_reset(struct model *model, uint32_t device);
void model_close(struct model *model, uint32_t domain);
uint32_t model_used(const struct model *model, uint32_t device);
uint32_t model_waiting(const struct model *model, uint32_t domain, bool read);

#endif
