// SPDX-License-Identifier: LGPL-2.1-or-later
//
// DescriptorText - what lies in the invalidation queue and in the page-request queue, field by field [FORMATS-VTD C2, D1]. Whether it is
// legal is said elsewhere.

internal import IOMMUCore

/// Descriptors as lists of names and values. A name without value says all.
enum DescriptorText {
    typealias Properties = [VirtualVTd.StateDescription.Property]

    /// What an invalidation descriptor asks for; nothing for a reserved type.
    static func properties(_ descriptor: InvalidationDescriptor) -> Properties {
        var list = PropertyList(descriptor.q0)
        switch descriptor.type {
        case 1: contextCache(&list)
        case 2: iotlb(&list, descriptor.q1)
        case 3: deviceTLB(&list, descriptor.q1)
        case 4: interruptCache(&list)
        case 5: wait(&list, descriptor.q1)
        case 6: pasidIOTLB(&list, descriptor.q1)
        case 7: pasidCache(&list)
        case 8: pasidDeviceTLB(&list, descriptor.q1)
        case 9: pageResponse(&list, descriptor.q1)
        default: list.add("type", "\(descriptor.type)")
        }
        return list.properties
    }

    /// What a page request says.
    static func pageRequest(_ words: [UInt64]) -> Properties {
        guard words.count == 4 else { return [] }
        var list = PropertyList(words[0])
        let (low, high) = (words[0], words[1])
        list.source(16)
        if low >> 8 & 1 == 1 { list.pasid(32) }
        let wanted = [("read", high & 1), ("write", high >> 1 & 1), ("execute", low >> 52 & 1)].filter { $0.1 == 1 }
        let isLast = high >> 2 & 1 == 1
        if wanted.isEmpty, isLast {
            list.add("stop marker")
        } else {
            list.add("wants", wanted.isEmpty ? "nothing" : wanted.map(\.0).joined(separator: ", "))
            list.add("address", hexadecimal(high & ~0xfff))
        }
        if low >> 53 & 1 == 1 { list.add("supervisor") }
        list.add("group", "\(high >> 3 & 0x1ff)")
        if isLast { list.add("last of its group") }
        if low >> 9 & 1 == 1 { list.add("private data", hexadecimal(words[2]) + " " + hexadecimal(words[3])) }
        return list.properties
    }

    private static func contextCache(_ list: inout PropertyList) {
        list.granularity(["reserved", "global", "domain", "device"])
        if list.field(4, 2) >= 2 { list.domain() }
        if list.field(4, 2) == 3 {
            list.source(32)
            let ignored = ["", "bit 2", "bits 2:1", "bits 2:0"][Int(list.field(48, 2))]
            if !ignored.isEmpty { list.add("but", ignored + " of the source") }
        }
    }

    private static func iotlb(_ list: inout PropertyList, _ high: UInt64) {
        list.granularity(["reserved", "global", "domain", "page"])
        if list.field(4, 2) >= 2 { list.domain() }
        if list.field(4, 2) == 3 { list.pages(high) }
        let drained = [("writes", list.field(6, 1)), ("reads", list.field(7, 1))].filter { $0.1 == 1 }.map(\.0)
        if !drained.isEmpty { list.add("drains", drained.joined(separator: " and ")) }
    }

    private static func deviceTLB(_ list: inout PropertyList, _ high: UInt64) {
        list.source(32)
        list.range(high, isSized: high & 1 == 1)
        list.add("in flight", "\(list.field(16, 5))")
        list.physicalFunction()
    }

    private static func interruptCache(_ list: inout PropertyList) {
        guard list.field(4, 1) == 1 else {
            list.add("granularity", "global")
            return
        }
        list.add("granularity", "index")
        let low = (UInt64(1) << list.field(27, 5)) - 1
        let first = list.field(32, 16) & ~low
        if low == 0 { list.add("entry", "\(first)") } else { list.add("entries", "\(first) to \(first | low)") }
    }

    private static func wait(_ list: inout PropertyList, _ high: UInt64) {
        if list.field(5, 1) == 1 {
            list.add("stores", "\(hexadecimal(list.field(32, 32))) at \(hexadecimal(high & ~3)) (SW)")
        }
        if list.field(4, 1) == 1 { list.add("raises the completion event (IF)") }
        if list.field(6, 1) == 1 { list.add("fence (FN)") }
        if list.field(7, 1) == 1 { list.add("drains page requests (PD)") }
        if list.field(4, 4) == 0 { list.add("tells nobody") }
    }

    private static func pasidIOTLB(_ list: inout PropertyList, _ high: UInt64) {
        list.granularity(["reserved", "reserved", "PASID", "page"])
        list.domain()
        list.pasid(32)
        if list.field(4, 2) == 3 { list.pages(high) }
    }

    private static func pasidCache(_ list: inout PropertyList) {
        list.granularity(["domain", "PASID", "reserved", "global"])
        if list.field(4, 2) < 2 { list.domain() }
        if list.field(4, 2) == 1 { list.pasid(32) }
    }

    private static func pasidDeviceTLB(_ list: inout PropertyList, _ high: UInt64) {
        list.source(16)
        if high & 1 == 1 { list.add("PASID", "all") } else { list.pasid(32) }
        list.range(high, isSized: high >> 11 & 1 == 1)
        list.add("in flight", "\(list.field(4, 5))")
        list.physicalFunction()
    }

    private static func pageResponse(_ list: inout PropertyList, _ high: UInt64) {
        list.source(16)
        if list.field(4, 1) == 1 { list.pasid(32) }
        list.add("group", "\(high >> 3 & 0x1ff)")
        let code = list.field(12, 4)
        let name = [0: "success", 1: "invalid request", 15: "response failure"][code] ?? "reserved"
        list.add("response", "\(code) (\(name))")
    }
}

/// Properties in the making, of a descriptor with these low bits.
private struct PropertyList {
    private let low: UInt64
    private(set) var properties: DescriptorText.Properties = []

    init(_ low: UInt64) {
        self.low = low
    }

    /// A field of the low word, less than 64 bits wide.
    func field(_ bit: UInt64, _ width: UInt64) -> UInt64 {
        low >> bit & ((1 << width) - 1)
    }

    mutating func add(_ name: String, _ value: String = "") {
        properties.append(VirtualVTd.StateDescription.Property(name: name, value: value))
    }

    mutating func granularity(_ names: [String]) {
        let value = field(4, 2)
        let name = names[Int(value)]
        add("granularity", name == "reserved" ? "\(value) (reserved)" : name)
    }

    mutating func domain() {
        add("domain", "\(field(16, 16))")
    }

    mutating func source(_ bit: UInt64) {
        add("source", "\(SourceID(UInt32(truncatingIfNeeded: field(bit, 16))))")
    }

    mutating func pasid(_ bit: UInt64) {
        add("PASID", "\(field(bit, 20))")
    }

    /// ADDR, AM and IH of `word`: the aligned block of 2^AM pages around the address.
    mutating func pages(_ word: UInt64) {
        let mask = word & 0x3f
        let low = mask >= 52 ? UInt64.max : (4096 << mask) - 1
        add("pages", Self.range(word & ~0xfff & ~low, low) + " (AM \(mask))")
        if word >> 6 & 1 == 1 { add("leaf entries only (IH)") }
    }

    /// ADDR of `word`; of a sized range the lowest zero at or above bit 12 says how large it is.
    mutating func range(_ word: UInt64, isSized: Bool) {
        var low: UInt64 = 0xfff
        if isSized {
            let ones = UInt64((~(word >> 12)).trailingZeroBitCount)
            low = ones >= 51 ? UInt64.max : (8192 << ones) - 1
        }
        add("range", Self.range(word & ~0xfff & ~low, low))
    }

    private static func range(_ first: UInt64, _ low: UInt64) -> String {
        low == .max ? "everything" : "\(hexadecimal(first))...\(hexadecimal(first | low))"
    }

    /// PFSID, in two parts.
    mutating func physicalFunction() {
        let id = field(12, 4) | field(52, 12) << 4
        if id != 0 { add("physical function", "\(SourceID(UInt32(truncatingIfNeeded: id)))") }
    }
}
