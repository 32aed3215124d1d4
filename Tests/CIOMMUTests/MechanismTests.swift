// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Single mechanisms of the kernel, deterministically: dirty bits before write rights, tags that run out, the spread of the IOTLB's hash.

import CIOMMUProbe
import Testing

@Suite(.serialized)
struct MechanismTests {
    @Test func aWriteIsGrantedOnlyAfterDIsSet() {
        #expect(probe_dirty_bit_precedes_write())
    }

    @Test func answersStayRightWhenTagsRunOut() {
        #expect(probe_tag_renewal_errors(200) == 0)
    }

    /// A multiplicative hash resonates with some strides of page numbers; these must not.
    @Test(arguments: [1, 2, 3, 8, 64, 512, 513, 4096, 262_144], [false, true])
    func stridedPagesSpreadOverTheSets(stride: UInt64, portable: Bool) {
        let crowding = probe_iotlb_crowding(1 << 16, 1 << 16, stride, portable)
        #expect(crowding >= 1 && crowding < 6)
    }

    @Test(.enabled(if: probe_has_mutants()))
    func everyAllocationMayFail() {
        var lives: UInt32 = 0
        let errors = unsafe probe_allocation_failure_errors(&lives)
        #expect(errors == 0)
        #expect(lives > 10 && lives < 1000)
    }
}
