// SPDX-License-Identifier: LGPL-2.1-or-later

import IOMMUBench
import Testing

@Suite struct StatisticsTests {
    @Test func minimumAndMedianDoNotDependOnOrder() {
        #expect(Statistics([3, 1, 2]) == Statistics([1, 2, 3]))
        #expect(Statistics([3, 1, 2]).minimum == 1)
        #expect(Statistics([3, 1, 2]).median == 2)
        #expect(Statistics([4, 1, 3, 2]).median == 3)
        #expect(Statistics([7]) == Statistics([7]))
        #expect(Statistics([7]).count == 1)
    }
}
