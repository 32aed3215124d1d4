// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Target "tables": any tables, any requests. The engine, with and without caches, one by one and in a batch, through a port and
// without one, answers what the reference answers, marks what it marks, and reads what it reads.

import IOMMU
import IOMMUTestSupport

final class TablesTarget {
    /// The last two pages are each alone at the end of what 39 and 52 bits can name; the second range touches the first.
    private let image: GuardedImage
    private var subjects: [Int: TablesSubject] = [:]

    init() {
        do {
            image = try GuardedImage([
                .init(address: TablesWorld.ram, pages: 24), .init(address: TablesWorld.ram + 24 << 12, pages: 1),
                .init(address: 0x80_0000, pages: 2, isWritable: false), .init(address: 1 << 39 - 0x1000, pages: 1),
                .init(address: 1 << 52 - 0x1000, pages: 1),
            ])
        } catch {
            finding("no memory map: \(error)")
        }
    }

    func run(_ bytes: [UInt8]) throws {
        var input = FuzzInput(bytes)
        let number = input.below(UnitModels.all.count) << 1 | Int(input.byte() & 1)
        image.clear()
        let subject = try subjects[number] ?? TablesSubject(UnitModels.all[number >> 1], isTiny: number & 1 == 1, image)
        subjects[number] = subject
        try subject.begin(rootRegister: TablesWorld.ram | UInt64(input.byte() & 3) << 10)
        var world = TablesWorld(image)
        var requests: [DMARequest] = []
        for _ in 0..<64 where !input.isAtEnd {
            let operation = input.byte()
            switch operation & 7 {
            case 0: world.addPath(&input)
            case 1, 2: world.changeSlot(&input)
            case 3: world.changeAny(&input)
            case 7: try control(subject, &input)
            default:
                let request = world.request(&input)
                if operation & 0x60 == 0x60 {
                    try subject.checkLostMarks(request, times: operation & 0x80 != 0 ? nil : Int(input.byte() & 63))
                }
                try subject.check(request, isWithoutPort: operation & 8 != 0)
                if operation & 16 != 0 { try subject.checkCopy(request, count: 1 + Int(input.number(2) & 0x2fff)) }
                if operation & 24 == 24 { try subject.checkStore(request, bytes: input.number(8)) }
                requests.append(request)
            }
            if operation & 7 < 4 { subject.tablesChanged() }
        }
        try subject.checkBatch(requests)
    }

    private func control(_ subject: TablesSubject, _ input: inout FuzzInput) throws {
        let byte = input.byte()
        switch byte & 3 {
        case 0: try subject.setTranslation(byte & 4 == 0)
        case 1: try subject.setRoot(TablesWorld.ram | UInt64(byte >> 4 & 3) << 10)
        case 2: try subject.setRoot(input.number(8))
        default: try subject.setRoot(input.pick(image.pages) | UInt64(byte >> 4 & 3) << 10)
        }
    }
}
