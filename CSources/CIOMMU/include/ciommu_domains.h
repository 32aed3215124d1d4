/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * ciommu_domains.h - what a host sets up itself: domains, devices and their slices of PASIDs, bound
 * PASID tables, PASID namespaces. The second way to fill a unit's device table; the first is the
 * guest's root table (ciommu.h). Both live side by side: a source id that has a device is the
 * host's, every other one is looked up in the guest's tables.
 *
 * The conventions of ciommu.h hold. In addition:
 *   - `port` is the caller's port or NULL. Calls that take one wait for sections; inside a section
 *     of it they are refused (CIOMMU_IN_SECTION) and change nothing. With NULL, debug builds refuse
 *     them in the same way as ciommu_invalidate, but for those that end an object or change
 *     mappings: they time out.
 *   - CIOMMU_TIMED_OUT: the change is made and every later section sees it, but a section that
 *     began before still runs (ciommu_unit_drain waits on), or a device with a device-TLB
 *     (ciommu_invalidation.h) did not answer and is blocked.
 *   - Devices, domains and namespaces belong to one unit and are destroyed before it.
 */
#ifndef CIOMMU_DOMAINS_H
#define CIOMMU_DOMAINS_H

#include "ciommu.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ciommu_domain;
struct ciommu_device;
struct ciommu_namespace;

/* -------------------------------------------------------------------------------------------- */
/* Domains: what a device's traffic is translated by */

enum ciommu_domain_kind {
    CIOMMU_DOMAIN_BLOCKED = 0, /* nothing passes */
    CIOMMU_DOMAIN_IDENTITY,    /* the output address is the input address */
    CIOMMU_DOMAIN_PAGING,      /* a second stage that the host fills */
    CIOMMU_DOMAIN_NESTED       /* a guest's first stage over a paging domain */
};

/* The unit's own blocked and identity domains. They live as long as the unit and are not destroyed
 * by the host. */
CIOMMU_API struct ciommu_domain *ciommu_domain_blocked(struct ciommu_unit *unit);
CIOMMU_API struct ciommu_domain *ciommu_domain_identity(struct ciommu_unit *unit);

/* may be the parent of nested domains */
#define CIOMMU_PAGING_NEST_PARENT 1u
/* dirty tracking can be switched on */
#define CIOMMU_PAGING_DIRTY_TRACKING 2u

struct ciommu_paging_config {
    uint32_t size;
    uint32_t flags;         /* CIOMMU_PAGING_* */
    uint32_t address_width; /* input address bits: 39, 48 or 57, as CAP.SAGAW offers */
    /* largest page: 12, 21 or 30; 0 = the largest that the unit offers */
    uint32_t largest_page_lg2;
};

/* Makes an empty paging domain. CIOMMU_UNSUPPORTED: a width that CAP.SAGAW lacks, a page size that
 * CAP.SSLPS lacks, a nest parent without ECAP.NEST, dirty tracking without ECAP.SSADS.
 * CIOMMU_NO_SPACE: the unit's `domains` are used up. CIOMMU_NO_MEMORY. */
CIOMMU_API enum ciommu_status ciommu_paging_create(struct ciommu_unit *unit,
                                                   const struct ciommu_paging_config *config,
                                                   struct ciommu_domain **out);

/* Flags of a guest's first stage, with the values of the kernel's interface [FORMATS-IOMMUFD 3.1].
 */
#define CIOMMU_NESTED_SRE 1u
#define CIOMMU_NESTED_EAFE 2u
#define CIOMMU_NESTED_WPE 4u

struct ciommu_nested_config {
    uint32_t size;
    uint32_t address_width; /* 48 (4 levels) or 57 (5 levels) */
    uint64_t flags;         /* CIOMMU_NESTED_* */
    uint64_t pgtbl_addr;    /* first-stage root as an input address of the parent, 4 KiB aligned */
};

/* Makes a nested domain over `parent`, which it keeps in use. CIOMMU_NOT_NEST_PARENT: the parent is
 * not a paging domain made with CIOMMU_PAGING_NEST_PARENT. CIOMMU_INVALID_ARGUMENT: an unknown flag
 * or width. CIOMMU_UNSUPPORTED: 57 without CAP.FS5LP, SRE without ECAP.SRS, EAFE without ECAP.EAFS,
 * a unit without ECAP.FSTS or NEST. CIOMMU_MISALIGNED: the root. Nothing is read from the guest's
 * tables: a bad entry is a fault when it is used [B-B1]. Parent changes reach it before they
 * complete. CIOMMU_NO_SPACE, CIOMMU_NO_MEMORY.
 *
 * Choice: FORMATS-IOMMUFD 3.1 checks flags and width at attach; here creation does, because the
 * unit is known by then and a later refusal would only hide the cause. */
CIOMMU_API enum ciommu_status ciommu_nested_create(struct ciommu_domain *parent,
                                                   const struct ciommu_nested_config *config,
                                                   struct ciommu_domain **out);

/* Destroys a paging or nested domain. CIOMMU_IN_USE while it is attached or has children. Its
 * tables are freed after a grace period. What an open section still uses is the business of the
 * detach or replace that took the last device away, also if that one still drains on another
 * thread: wait for it before the memory behind the domain goes. NULL is allowed; an identity or
 * blocked domain is CIOMMU_INVALID_ARGUMENT. */
CIOMMU_API enum ciommu_status ciommu_domain_destroy(struct ciommu_domain *domain);

CIOMMU_API enum ciommu_domain_kind ciommu_domain_kind(const struct ciommu_domain *domain);

/* The number under which observers hear of a paging domain's changes: 0x10000 or more, a nested
 * domain's is its parent's; 0 for blocked and identity. */
CIOMMU_API uint32_t ciommu_domain_id(const struct ciommu_domain *domain);

/* The guest changed the first stage of a nested domain in first...last (inclusive input addresses;
 * 0 and UINT64_MAX = all); `leaf_only`: only leaf entries changed (IH). On CIOMMU_OK promise 1
 * holds. CIOMMU_INVALID_ARGUMENT for another kind of domain. */
CIOMMU_API enum ciommu_status ciommu_nested_invalidate(struct ciommu_domain *domain,
                                                       struct ciommu_port *port, uint64_t first,
                                                       uint64_t last, bool leaf_only);

/* -------------------------------------------------------------------------------------------- */
/* Mappings of a paging domain */

/* A run of input addresses and where it leads. */
struct ciommu_mapping {
    uint32_t size;
    uint32_t rights;   /* CIOMMU_READ, CIOMMU_WRITE or both */
    uint64_t iova;     /* multiple of 4096 */
    uint64_t length;   /* multiple of 4096, not 0 */
    uint64_t address;  /* output address, multiple of 4096, below 2^HAW to its end */
    uint32_t page_lg2; /* out only: the page that holds the mapping: 12, 21 or 30 */
    uint32_t dirty;    /* out only: 1 if the page's D bit is set; 1 also while tracking is off */
};

/* Maps iova... to address..., with the largest pages that alignment and the domain allow; entries
 * that become whole are merged into larger pages (not while dirty tracking is on). All or nothing.
 * CIOMMU_OVERLAP: a page in it is mapped already. CIOMMU_MISALIGNED; CIOMMU_OUT_OF_RANGE: beyond
 * the domain's width or the unit's HAW; CIOMMU_WRAPS; CIOMMU_INVALID_ARGUMENT: no rights or unknown
 * ones; CIOMMU_NO_MEMORY. Translations that start later see it; nothing waits. */
CIOMMU_API enum ciommu_status ciommu_domain_map(struct ciommu_domain *domain,
                                                const struct ciommu_mapping *mapping);

/* Removes whatever is mapped in iova...iova+length; `*unmapped` (may be NULL) is how many bytes
 * were. A larger page that the range cuts is split first, without a moment in which the rest of it
 * faults; only that needs memory (CIOMMU_NO_MEMORY: nothing changed). iova 0 with length UINT64_MAX
 * is everything and needs none. On CIOMMU_OK nobody uses the mappings any more, children included
 * (promise 1). CIOMMU_MISALIGNED, CIOMMU_WRAPS, CIOMMU_OUT_OF_RANGE. */
CIOMMU_API enum ciommu_status ciommu_domain_unmap(struct ciommu_domain *domain,
                                                  struct ciommu_port *port, uint64_t iova,
                                                  uint64_t length, uint64_t *unmapped);

/* Gives every page in the range the rights, splitting and merging as above. CIOMMU_NOT_FOUND: a
 * page in it is not mapped (nothing changed). On CIOMMU_OK nobody uses rights that are gone. */
CIOMMU_API enum ciommu_status ciommu_domain_protect(struct ciommu_domain *domain,
                                                    struct ciommu_port *port, uint64_t iova,
                                                    uint64_t length, uint32_t rights);

/* The first page that ends above `iova`: the one that holds it, or the next one. `out->size` must
 * be set. CIOMMU_NOT_FOUND at the end. To list a domain, ask again with out->iova + out->length. */
CIOMMU_API enum ciommu_status ciommu_domain_next(struct ciommu_domain *domain, uint64_t iova,
                                                 struct ciommu_mapping *out);

struct ciommu_domain_statistics {
    uint32_t size;
    uint32_t attachments; /* (device, PASID) pairs that use it */
    uint32_t children;    /* nested domains over it */
    uint32_t reserved;
    uint64_t mapped;   /* bytes */
    uint64_t tables;   /* paging-structure pages in use, 4096 bytes each */
    uint64_t pages[3]; /* leaves of 4 KiB, 2 MiB, 1 GiB */
};
CIOMMU_API void ciommu_domain_read_statistics(struct ciommu_domain *domain,
                                              struct ciommu_domain_statistics *out);

/* -------------------------------------------------------------------------------------------- */
/* Dirty tracking of a paging domain [FORMATS-IOMMUFD 8] */

/* while tracking, pages are 4 KiB: present larger ones are split (needs memory), new ones are made
 * so; merged again when tracking stops */
#define CIOMMU_DIRTY_SPLIT 1u
/* read without clearing */
#define CIOMMU_DIRTY_NO_CLEAR 1u

/* Starts tracking: every page is clean when it returns. Starting again cleans again.
 * CIOMMU_UNSUPPORTED: the domain was made without it. CIOMMU_NO_MEMORY: nothing changed. */
CIOMMU_API enum ciommu_status ciommu_dirty_start(struct ciommu_domain *domain,
                                                 struct ciommu_port *port, uint32_t flags);
/* Stops tracking. CIOMMU_OK also if it was off. */
CIOMMU_API enum ciommu_status ciommu_dirty_stop(struct ciommu_domain *domain,
                                                struct ciommu_port *port);

/* Reads which pages of iova...iova+length were written since tracking started or they were last
 * cleared, and clears them. Bit (address - iova) / page_size of `bitmap` (64-bit words, LSB first)
 * is set for every part that a dirty page touches; other bits keep what they hold. `page_size` is a
 * power of two from 4096; iova and length are multiples of it. A larger page that lies only partly
 * in the range is reported for that part and not cleared. On return (CIOMMU_OK) the clearing is in
 * force: a write that raced with the call shows in this round, or its page is dirty again for the
 * next. CIOMMU_NOT_TRACKING: tracking is off. CIOMMU_TIMED_OUT: cleared and reported, but a section
 * still writes under this round. CIOMMU_MISALIGNED, CIOMMU_INVALID_ARGUMENT, CIOMMU_WRAPS,
 * CIOMMU_OUT_OF_RANGE. */
CIOMMU_API enum ciommu_status ciommu_dirty_read(struct ciommu_domain *domain,
                                                struct ciommu_port *port, uint64_t iova,
                                                uint64_t length, uint64_t page_size,
                                                uint64_t *bitmap, uint32_t flags);

/* -------------------------------------------------------------------------------------------- */
/* Devices */

/* What of its source id a device owns. */
enum ciommu_share {
    CIOMMU_SHARE_WHOLE = 0,  /* all of it, alone */
    CIOMMU_SHARE_PARENT = 1, /* requests without PASID, and PASIDs in nobody's slice */
    CIOMMU_SHARE_SLICE = 2   /* the PASIDs first_pasid...last_pasid (SIOV) [B-A2] */
};

/* To whom a fault or an error of a PASID that lies in two slices belongs [B-A3]. */
enum ciommu_shared_pasid_policy {
    CIOMMU_SHARED_PASID_REFUSED = 0, /* slices must not overlap */
    CIOMMU_SHARED_PASID_FIRST = 1,   /* the device that was made first */
    CIOMMU_SHARED_PASID_ALL = 2,     /* every one of them */
    CIOMMU_SHARED_PASID_PARENT = 3   /* the source's parent device */
};

struct ciommu_device_config {
    uint32_t size;
    uint32_t source;      /* 16 bits on VT-d */
    uint64_t id;          /* the host's own name for it; any value, unique in the unit */
    uint32_t share;       /* enum ciommu_share */
    uint32_t policy;      /* enum ciommu_shared_pasid_policy, of a slice */
    uint32_t first_pasid; /* of a slice, inclusive */
    uint32_t last_pasid;
};

/* Makes a device; all its traffic is blocked until something is attached. From now on the source id
 * is the host's: the guest's tables have no say, and translation is on for it whatever GCMD.TE
 * says. What device-TLBs hold of before is asked for. CIOMMU_TIMED_OUT: made, but a section still
 * runs, or a device did not answer and is blocked (ciommu_invalidation.h). CIOMMU_OVERLAP: the
 * slice meets another one and not both were made with the same policy other than REFUSED, or the
 * source id has a WHOLE device, or this is WHOLE and it has any, or it has a PARENT already.
 * CIOMMU_IN_USE: the PARENT attached a PASID of the slice. CIOMMU_EXISTS: the id is taken, by a
 * device or by the fault queue of a device in software. CIOMMU_UNSUPPORTED: a slice without
 * ECAP.PASID, or beyond ECAP.PSS. CIOMMU_INVALID_ARGUMENT, CIOMMU_NO_MEMORY. */
CIOMMU_API enum ciommu_status ciommu_device_create(struct ciommu_unit *unit,
                                                   struct ciommu_port *port,
                                                   const struct ciommu_device_config *config,
                                                   struct ciommu_device **out);

/* Detaches and unbinds everything and destroys the device; it is gone also on CIOMMU_TIMED_OUT.
 * CIOMMU_IN_USE, and nothing happened: it has a message store (ciommu_interrupts.h). When the last
 * device of a source id goes, the id is the guest's again. NULL is allowed. */
CIOMMU_API enum ciommu_status ciommu_device_destroy(struct ciommu_device *device,
                                                    struct ciommu_port *port);

/* Function-level reset: everything is detached and unbound, so all traffic is blocked; what was
 * armed in its message stores is masked, and nothing is pending there. */
CIOMMU_API enum ciommu_status ciommu_device_reset(struct ciommu_device *device,
                                                  struct ciommu_port *port);

/* Attaches `domain` to the requests of one PASID, or to those without (CIOMMU_NO_PASID). Requests
 * that start after the return are translated by it. CIOMMU_OCCUPIED: something is attached there
 * already (replace it). CIOMMU_NOT_OWNED: the PASID is outside the slice; a slice owns no requests
 * without PASID; a PARENT owns no PASID of a slice. CIOMMU_OTHER_UNIT: the domain is another
 * unit's. CIOMMU_IN_USE: a PASID table is bound to the device. CIOMMU_UNSUPPORTED: a PASID without
 * ECAP.PASID or beyond ECAP.PSS. CIOMMU_NO_MEMORY. Needs no wait, hence no port.
 *
 * Under a shared-PASID policy two devices may attach one domain to one PASID; another domain is
 * CIOMMU_OCCUPIED. */
CIOMMU_API enum ciommu_status ciommu_device_attach(struct ciommu_device *device, uint32_t pasid,
                                                   struct ciommu_domain *domain);

/* Replaces what is attached, in one step: every access sees the old or the new domain, and on
 * CIOMMU_OK none uses the old one any more. CIOMMU_NOT_ATTACHED: nothing is there.
 * CIOMMU_OCCUPIED: another device shares the PASID. Otherwise as attach; a failed replace keeps the
 * old domain. */
CIOMMU_API enum ciommu_status ciommu_device_replace(struct ciommu_device *device,
                                                    struct ciommu_port *port, uint32_t pasid,
                                                    struct ciommu_domain *domain);

/* Detaches: the traffic is blocked, and on CIOMMU_OK no section uses the domain through it any
 * more. CIOMMU_NOT_ATTACHED. */
CIOMMU_API enum ciommu_status ciommu_device_detach(struct ciommu_device *device,
                                                   struct ciommu_port *port, uint32_t pasid);

/* What this device attached there, or NULL. The domain is guaranteed to exist only as long as the
 * host itself keeps it attached. */
CIOMMU_API struct ciommu_domain *ciommu_device_domain(struct ciommu_device *device, uint32_t pasid);

/* Guest-owned PASID tables [B-B2]. */
#define CIOMMU_MODEL_VTD 1u
#define CIOMMU_MODEL_SMMU_V3 2u

struct ciommu_pasid_table {
    uint32_t size;
    uint32_t model;      /* CIOMMU_MODEL_* */
    uint32_t format;     /* of VT-d: 0, the scalable-mode PASID directory */
    uint32_t levels;     /* of VT-d: 2 */
    uint32_t pasid_bits; /* 6...20 and not more than ECAP.PSS + 1; larger PASIDs fault */
    uint32_t rid_pasid;  /* the PASID of requests without one; 0 without ECAP.RPS */
    uint64_t address;    /* output address of the directory, 4 KiB aligned */
};

/* Gives a device the guest's own PASID table. Its content is not looked at: a bad entry is a fault
 * when it is used [B-B1]. Cached entries are dropped by the guest's invalidations as those behind
 * the root table are. CIOMMU_IN_USE: a domain is attached or a table bound, or a device whose slice
 * overlaps has attached or bound something. CIOMMU_UNSUPPORTED:
 * another model or format than the unit's, levels other than 2, no ECAP.SMTS.
 * CIOMMU_MISALIGNED, CIOMMU_OUT_OF_RANGE (PASID bits, address), CIOMMU_INVALID_ARGUMENT. */
CIOMMU_API enum ciommu_status ciommu_device_bind(struct ciommu_device *device,
                                                 struct ciommu_port *port,
                                                 const struct ciommu_pasid_table *table);
/* The table that is bound, with `size` set; false if none is. */
CIOMMU_API bool ciommu_device_bound(struct ciommu_device *device, struct ciommu_pasid_table *out);
/* Takes it away again: blocked. CIOMMU_NOT_ATTACHED if none is bound. */
CIOMMU_API enum ciommu_status ciommu_device_unbind(struct ciommu_device *device,
                                                   struct ciommu_port *port);

/* -------------------------------------------------------------------------------------------- */
/* To whom a (source id, PASID) belongs: constant-time, lock-free */

/* more than one device could have sent it */
#define CIOMMU_OWNER_AMBIGUOUS 1u
/* a PASID in nobody's slice: it belongs to the parent device, if there is one */
#define CIOMMU_OWNER_UNCLAIMED 2u
/* the source id has devices */
#define CIOMMU_OWNER_KNOWN_SOURCE 4u

/* Writes the ids of the devices that a fault or an error of (source, pasid) is attributed to, at
 * most `capacity`, in the order of their making; `*count` is how many there are and `*flags`
 * CIOMMU_OWNER_*. All CIOMMU_OK, also when there are none. */
CIOMMU_API enum ciommu_status ciommu_owners(struct ciommu_unit *unit, uint32_t source,
                                            uint32_t pasid, uint64_t *ids, uint32_t capacity,
                                            uint32_t *count, uint32_t *flags);

/* -------------------------------------------------------------------------------------------- */
/* PASID namespaces [B-C4] */

/* Makes a guest's namespace. It hands out the unit's host PASIDs first...last, which overlap no
 * other namespace's (CIOMMU_OVERLAP). CIOMMU_UNSUPPORTED: no ECAP.PASID, or beyond ECAP.PSS. */
CIOMMU_API enum ciommu_status ciommu_namespace_create(struct ciommu_unit *unit, uint32_t first,
                                                      uint32_t last, struct ciommu_namespace **out);

/* Nobody looks anything up in it any more, and no section that did still runs: its host PASIDs may
 * be another namespace's at once. NULL is allowed. */
CIOMMU_API void ciommu_namespace_destroy(struct ciommu_namespace *space);

/* Binds a guest PASID to a host PASID: `*host` is the one wanted, or CIOMMU_NO_PASID to take any
 * free one, and receives it. CIOMMU_OCCUPIED: either is bound, or the host PASID is still in use by
 * a section. CIOMMU_NOT_OWNED: the host PASID lies outside the namespace. CIOMMU_NO_SPACE: none is
 * free. CIOMMU_NO_MEMORY. */
CIOMMU_API enum ciommu_status ciommu_namespace_bind(struct ciommu_namespace *space, uint32_t guest,
                                                    uint32_t *host);

/* Unbinds a guest PASID: lookups no longer find it, and on CIOMMU_OK no section that found it still
 * runs, so the host PASID is free again. On CIOMMU_TIMED_OUT it stays set aside until a later call
 * on this namespace finds the sections ended. CIOMMU_NOT_FOUND. */
CIOMMU_API enum ciommu_status ciommu_namespace_unbind(struct ciommu_namespace *space,
                                                      struct ciommu_port *port, uint32_t guest);

/* Lock-free lookups: the other side, or CIOMMU_NO_PASID. What a lookup inside a section of a port
 * of the unit found is not given to another guest PASID before that section ends. */
CIOMMU_API uint32_t ciommu_namespace_host(const struct ciommu_namespace *space, uint32_t guest);
CIOMMU_API uint32_t ciommu_namespace_guest(const struct ciommu_namespace *space, uint32_t host);

/* The first bound guest PASID at or above `guest`, or CIOMMU_NO_PASID: to list a namespace. */
CIOMMU_API uint32_t ciommu_namespace_next(const struct ciommu_namespace *space, uint32_t guest);

static inline void ciommu_paging_config_init(struct ciommu_paging_config *config) {
    config->size = (uint32_t)sizeof *config;
    config->flags = 0;
    config->address_width = 48;
    config->largest_page_lg2 = 0;
}

#ifdef __cplusplus
}
#endif
#endif
