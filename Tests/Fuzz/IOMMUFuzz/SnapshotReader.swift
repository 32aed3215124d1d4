// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Snapshots out of bytes: records whose positions, ranges and ids meet each other often, and the borders of everything sometimes.

import IOMMU

struct SnapshotReader {
    private var input: FuzzInput

    init(_ bytes: [UInt8]) { input = FuzzInput(bytes) }

    mutating func snapshot(_ description: UnitDescription) -> UnitSnapshot {
        var snapshot = UnitSnapshot(description: description)
        for _ in 0..<48 where !input.isAtEnd {
            let kind = input.byte()
            switch kind & 7 {
            case 0: snapshot.spaces.append(space(kind))
            case 1: snapshot.domains.append(.paging(paging(kind)))
            case 2: snapshot.domains.append(nested(kind))
            case 3, 4: snapshot.devices.append(device(kind))
            case 5: snapshot.namespaces.append(namespace(kind))
            case 6:
                if snapshot.devices.isEmpty { continue }
                snapshot.devices[snapshot.devices.count - 1].attachments.append(attachment(kind))
            default: addRange(&snapshot, kind)
            }
        }
        return snapshot
    }

    // MARK: Numbers

    private mutating func address() -> UInt64 {
        let byte = input.byte()
        let count = UInt64(byte & 31)
        switch byte >> 5 {
        case 0, 1, 2: return count << 12
        case 3: return count << 21
        case 4: return count << 30
        case 5: return 1 << (count + 31)
        case 6: return (count << 12) &- 1
        default: return input.number(8)
        }
    }

    /// The last address of a range, mostly behind its first.
    private mutating func last(_ first: UInt64) -> UInt64 {
        let byte = input.byte()
        return byte == 0xff ? input.number(8) : first &+ UInt64(byte & 31) << (byte & 0x80 == 0 ? 12 : 21) &+ 0xfff
    }

    private mutating func pasid() -> PASID {
        let byte = input.byte()
        return PASID(byte < 0xf0 ? UInt32(byte & 63) : UInt32(input.number(3) & 0xf_ffff)) ?? PASID(0)!
    }

    private mutating func position() -> Int {
        let byte = input.byte()
        return byte < 0xf8 ? Int(byte & 3) : Int(Int8(bitPattern: byte))
    }

    private mutating func rights() -> AccessRights {
        let byte = input.byte()
        return AccessRights(rawValue: byte < 0xf0 ? UInt32(byte & 3) : UInt32(input.number(4)))
    }

    // MARK: Records

    private mutating func space(_ kind: UInt8) -> UnitSnapshot.SpaceRecord {
        var record = UnitSnapshot.SpaceRecord()
        if kind & 0x80 != 0 { record.granule = address() }
        if kind & 0x40 != 0 { record.firstAutomaticOutput = OutputAddress(address()) }
        if kind & 0x20 != 0 { record.lastAutomaticOutput = OutputAddress(address()) }
        return record
    }

    private mutating func paging(_ kind: UInt8) -> UnitSnapshot.PagingRecord {
        var record = UnitSnapshot.PagingRecord()
        let bits = input.byte()
        record.options = UInt32(bits & 7)
        if kind & 0x10 != 0 { record.space = position() }
        if kind & 0x20 != 0 { record.addressWidth = [39, 48, 57, 47, 0, -1, 64, .max][Int(bits >> 5)] }
        if kind & 0x40 != 0 { record.largestPage = input.pick([12, 21, 30, 0, 48]) }
        if kind & 0x80 != 0 { record.tracking = input.pick(UnitSnapshot.TrackingRecord.allCases) }
        return record
    }

    private mutating func nested(_ kind: UInt8) -> UnitSnapshot.DomainRecord {
        var stage = FirstStage(root: IOVA(address()))
        if kind & 0x80 != 0 { stage.addressWidth = input.pick([48, 57, 39, 0, -1, .max]) }
        stage.options = FirstStage.Options(rawValue: UInt64(kind >> 3 & 15))
        return .nested(UnitSnapshot.NestedRecord(parent: position(), firstStage: stage))
    }

    private mutating func device(_ kind: UInt8) -> UnitSnapshot.DeviceRecord {
        let id = DeviceID(UInt64(input.byte() & 15))
        let source = SourceID(kind & 0x80 == 0 ? UInt32(input.byte() & 3) : UInt32(input.number(4)))
        var record = UnitSnapshot.DeviceRecord(id: id, source: source, share: .whole)
        switch kind >> 3 & 7 {
        case 0: record.share = .parent
        case 1, 2:
            let ends = [pasid(), pasid()].sorted()
            record.share = .slice(ends[0]...ends[1], policy: input.pick(Device.SharedPASIDPolicy.allCases))
        case 3:
            record.table = PASIDTable(
                pasidBits: Int(Int8(bitPattern: input.byte())), ridPASID: pasid(), address: OutputAddress(address()))
        default: break
        }
        return record
    }

    private mutating func attachment(_ kind: UInt8) -> UnitSnapshot.AttachmentRecord {
        let domain: UnitSnapshot.TargetRecord =
            switch kind >> 3 & 7 {
            case 0: .identity
            case 1: .blocked
            default: .domain(position())
            }
        return UnitSnapshot.AttachmentRecord(pasid: kind & 0x80 == 0 ? nil : pasid(), domain: domain)
    }

    private mutating func namespace(_ kind: UInt8) -> UnitSnapshot.NamespaceRecord {
        let ends = [pasid(), pasid()].sorted()
        var record = UnitSnapshot.NamespaceRecord(hostPASIDs: ends[0]...ends[1], bindings: [])
        if kind & 0x80 != 0 { (record.first, record.last) = (record.last, record.first) }
        for _ in 0..<kind >> 3 & 3 {
            record.bindings.append(PASIDNamespace.Binding(guest: pasid(), host: pasid()))
        }
        return record
    }

    /// One more range of the newest space, or mapping of the newest domain.
    private mutating func addRange(_ snapshot: inout UnitSnapshot, _ kind: UInt8) {
        let first = address()
        let last = last(first)
        if kind & 0x30 == 0 {
            guard case .paging(var record) = snapshot.domains.last else { return }
            record.mappings.append(
                .init(first: IOVA(first), last: IOVA(last), output: OutputAddress(address()), rights: rights()))
            snapshot.domains[snapshot.domains.count - 1] = .paging(record)
            return
        }
        guard !snapshot.spaces.isEmpty else { return }
        let index = snapshot.spaces.count - 1
        switch kind & 0x30 {
        case 0x10:
            let backing = UnitSnapshot.AreaRecord.Backing.allCases[Int(kind >> 6) % 3]
            snapshot.spaces[index].areas.append(
                .init(
                    first: IOVA(first), last: IOVA(last), output: OutputAddress(address()), rights: rights(),
                    backing: backing, offset: kind & 0x80 == 0 ? 0 : address()))
        case 0x20: snapshot.spaces[index].allowed.append(.init(first: IOVA(first), last: IOVA(last)))
        default: snapshot.spaces[index].reserved.append(.init(first: IOVA(first), last: IOVA(last), reason: "fuzz"))
        }
    }
}
