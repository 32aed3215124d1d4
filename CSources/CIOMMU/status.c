/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * status.c - the one table from status to words and errno.
 */
#include "ciommu.h"

#include <errno.h>

static const struct {
    const char *text;
    int number;
} statuses[] = {
    [CIOMMU_OK] = {"success", 0},
    [CIOMMU_NO_MEMORY] = {"out of memory", ENOMEM},
    [CIOMMU_INVALID_ARGUMENT] = {"an argument is outside its documented range", EINVAL},
    [CIOMMU_MISALIGNED] = {"an address, length or pointer is not aligned as documented", EINVAL},
    [CIOMMU_WRAPS] = {"the range passes the end of the address space", EOVERFLOW},
    [CIOMMU_OVERLAP] = {"the range overlaps one that is registered", EEXIST},
    [CIOMMU_NOT_FOUND] = {"no such object", ENOENT},
    [CIOMMU_IN_USE] = {"the object is still in use", EBUSY},
    [CIOMMU_IN_SECTION] = {"the caller's port is inside an access section", EDEADLK},
    [CIOMMU_TIMED_OUT] = {"the change is made, but at the deadline a port was still inside a "
                          "section, or a device had "
                          "not answered",
                          ETIMEDOUT},
    [CIOMMU_NO_PORT] = {"every port is taken", EAGAIN},
    [CIOMMU_UNSUPPORTED] = {"the unit's capabilities do not offer this", EOPNOTSUPP},
    [CIOMMU_INCONSISTENT] = {"the capability fields contradict each other", EINVAL},
    [CIOMMU_NO_HOST_MEMORY] = {"no registered memory behind the output address", EFAULT},
    [CIOMMU_READ_ONLY] = {"the memory behind the output address is read-only", EROFS},
    [CIOMMU_FAULTED] = {"the access faulted", EFAULT},
    [CIOMMU_BAD_DESCRIPTOR] = {"the invalidation descriptor is malformed", EINVAL},
    [CIOMMU_NO_SPACE] = {"no room is left", ENOSPC},
    [CIOMMU_OUT_OF_RANGE] = {"the range lies outside what is allowed", EINVAL},
    [CIOMMU_EXISTS] = {"the name is taken", EEXIST},
    [CIOMMU_OCCUPIED] = {"something is attached there already", EBUSY},
    [CIOMMU_NOT_ATTACHED] = {"nothing is attached there", EINVAL},
    [CIOMMU_NOT_OWNED] = {"the PASID is not the object's own", EINVAL},
    [CIOMMU_OTHER_UNIT] = {"the domain belongs to another unit", EINVAL},
    [CIOMMU_NOT_NEST_PARENT] = {"the domain was not made as a nest parent", EINVAL},
    [CIOMMU_NOT_TRACKING] = {"dirty tracking is off", EINVAL},
    [CIOMMU_ALREADY_ANSWERED] =
        {"it has been answered before, by a response, a deadline or a reset", EALREADY},
    [CIOMMU_CLOSED] = {"the object is being destroyed", ESHUTDOWN},
    [CIOMMU_BAD_STATE] = {"the entry is not in a state that allows this", EINVAL},
};

#define STATUS_COUNT (sizeof statuses / sizeof statuses[0])

const char *ciommu_status_text(enum ciommu_status status) {
    return (unsigned)status < STATUS_COUNT ? statuses[status].text : "unknown status";
}

int ciommu_status_errno(enum ciommu_status status) {
    return (unsigned)status < STATUS_COUNT ? statuses[status].number : EINVAL;
}
