// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The value types: parsing, printing, ranges, and that their bits are those of the C interface.

import CIOMMU
import IOMMU
import Testing

@Suite struct CoreTypesTests {
    @Test func sourceIDIsBusDeviceFunction() {
        let source = SourceID(bus: 0x12, device: 0x1f, function: 7)
        #expect(source.rawValue == 0x12ff)
        #expect(source.bus == 0x12 && source.device == 0x1f && source.function == 7)
        #expect(source.description == "12:1f.7")
        #expect(SourceID(0x38).description == "00:07.0")
        #expect(SourceID(0x12345).description == "12345")
    }

    @Test(arguments: [("00:07.0", 0x38), ("12:1f.7", 0x12ff), ("0038", 0x38), ("0x38", 0x38), ("ffffffff", UInt32.max)])
    func sourceIDReadsBothForms(text: String, value: UInt32) {
        #expect(SourceID(text)?.rawValue == value)
    }

    @Test(arguments: [
        "", ":", "00:20.0", "00:07.8", "00:07", "000:07.0", "00:07.0.0", "+38", "0x", "x", "100000000", "00:-7.0",
    ])
    func sourceIDRefusesOtherText(text: String) {
        #expect(SourceID(text) == nil)
    }

    @Test func pasidHasTwentyBits() {
        #expect(PASID.bitWidth == 20)
        #expect(PASID(0)?.rawValue == 0)
        #expect(PASID(0xfffff)?.rawValue == 0xfffff)
        #expect(PASID(0x100000) == nil)
        #expect(PASID(.max) == nil)
    }

    @Test func addressesPrintInHexadecimal() {
        #expect(IOVA(0x1000).description == "0x1000")
        #expect(OutputAddress(0xfee0_0000).description == "0xfee00000")
        #expect((0x1000 as IOVA) < .max)
        #expect(IOVA.min == 0)
    }

    @Test func accessRightsPrintLetters() {
        #expect(AccessRights([]).description == "none")
        #expect(AccessRights([.privileged, .read, .execute, .write]).description == "RWXP")
    }

    @Test func bitsAreThoseOfTheCInterface() {
        #expect(AccessRights.read.rawValue == CIOMMU_READ)
        #expect(AccessRights.write.rawValue == CIOMMU_WRITE)
        #expect(AccessRights.execute.rawValue == CIOMMU_EXECUTE)
        #expect(AccessRights.privileged.rawValue == CIOMMU_PRIVILEGED)
        #expect(RequestOptions.noFault.rawValue == CIOMMU_NO_FAULT)
        #expect(RequestOptions.noAccessedDirty.rawValue == CIOMMU_NO_AD)
        #expect(RequestOptions.translationRequest.rawValue == CIOMMU_TRANSLATION_REQUEST)
        #expect(RequestOptions.translated.rawValue == CIOMMU_TRANSLATED)
        #expect(RequestOptions.impliedPASID.rawValue == CIOMMU_IMPLIED_PASID)
        #expect(RequestOptions.noCache.rawValue == CIOMMU_NO_CACHE)
        #expect(Stage.nested.rawValue == CIOMMU_STAGE_NESTED.rawValue)
        #expect(FaultReason.allCases.map(\.rawValue) == Array(0...CIOMMU_FAULT_ABORTED.rawValue))
        #expect(FaultReason.permission.rawValue == CIOMMU_FAULT_PERMISSION.rawValue)
        #expect(WalkStep.Table.secondStage.rawValue == CIOMMU_TABLE_SECOND_STAGE.rawValue)
        #expect(Invalidation.Kind.deviceTLB.rawValue == CIOMMU_INVALIDATE_DEVICE_TLB.rawValue)
    }

    @Test func everyErrorHasWordsAndANumberOfItsOwn() {
        let errors: [IOMMUError] = [
            .noMemory, .invalidArgument, .misaligned, .wraps, .overlap, .notFound, .inUse, .inSection, .timedOut,
            .noPort,
            .unsupported, .inconsistent, .noHostMemory, .readOnly, .faulted, .badDescriptor,
        ]
        #expect(Set(errors).count == Int(CIOMMU_BAD_DESCRIPTOR.rawValue))
        #expect(Set(errors.map(\.description)).count == errors.count)
        #expect(errors.allSatisfy { $0.errno > 0 && $0.detail == nil })
    }

    @Test func errorsAreEqualByKind() throws {
        let error = #expect(throws: IOMMUError.self) { try Capabilities(cap: 0, ecap: 0) }
        #expect(error == .inconsistent)
        #expect(error != .invalidArgument)
        #expect(error?.detail != nil)
        #expect(error?.description.contains(": ") == true)
    }

    @Test func faultSaysWhoAskedForWhat() {
        let fault = Fault(
            reason: .permission, code: 0x85, stage: .second, source: SourceID(0x38), pasid: PASID(5), access: .write,
            found: .read, level: 0, address: 0x1000, entryAddress: 0x5008)
        for word in ["SGN.6", "0x85", "W at 0x1000", "00:07.0", "pasid 5", "second stage", "level 0", "0x5008"] {
            #expect(fault.description.contains(word), "\(word) is missing in: \(fault)")
        }
    }

    @Test func unknownFaultCodeHasNoName() {
        let fault = Fault(reason: .aborted, code: 0x3ff, source: SourceID(0), access: [], address: 0)
        #expect(fault.codeName.isEmpty && fault.codeText.isEmpty)
        #expect(fault.description.hasPrefix("fault 0x3ff: aborted"))
    }

    @Test func translationMaskIsPageSizeMinusOne() {
        let translation = Translation(
            address: 0x20_0000, pageSizeLog2: 21, rights: .read, contiguousBytes: 1, attributes: 1)
        #expect(translation.mask == 0x1f_ffff)
        #expect(translation.isSnooped)
    }

    @Test func descriptorsByNameHaveTheirBits() throws {
        let pasid = try #require(PASID(0x12345))
        let source = SourceID(bus: 0, device: 7, function: 0)
        #expect(InvalidationDescriptor.contextCache() == InvalidationDescriptor(0x11, 0))
        #expect(InvalidationDescriptor.contextCache(domain: 9) == InvalidationDescriptor(0x9_0021, 0))
        #expect(
            InvalidationDescriptor.contextCache(domain: 9, source: source, functionMask: 3)
                == InvalidationDescriptor(0x3_0038_0009_0031, 0))
        #expect(InvalidationDescriptor.iotlb() == InvalidationDescriptor(0xd2, 0))
        #expect(InvalidationDescriptor.iotlb(domain: 9) == InvalidationDescriptor(0x9_00e2, 0))
        #expect(
            InvalidationDescriptor.iotlb(domain: 9, page: 0x12345, addressMask: 2, leafOnly: true)
                == InvalidationDescriptor(0x9_00f2, 0x12042))
        #expect(
            InvalidationDescriptor.pasidIOTLB(domain: 9, pasid: pasid) == InvalidationDescriptor(0x1_2345_0009_0026, 0))
        #expect(
            InvalidationDescriptor.pasidIOTLB(domain: 9, pasid: pasid, page: 0x1000)
                == InvalidationDescriptor(0x1_2345_0009_0036, 0x1000))
        #expect(InvalidationDescriptor.pasidCache() == InvalidationDescriptor(0x37, 0))
        #expect(InvalidationDescriptor.pasidCache(domain: 9) == InvalidationDescriptor(0x9_0007, 0))
        #expect(
            InvalidationDescriptor.pasidCache(domain: 9, pasid: pasid) == InvalidationDescriptor(0x1_2345_0009_0017, 0))
        #expect(
            InvalidationDescriptor.wait(status: (0x2000, 7), interrupt: true, fence: true)
                == InvalidationDescriptor(0x7_0000_0075, 0x2000))
    }

    @Test func descriptorTypeHasSevenBits() {
        #expect(InvalidationDescriptor(0x9_00e2, 0).type == 2)
        #expect(InvalidationDescriptor(0x202, 0).type == 0x12)
        #expect(InvalidationDescriptor(0x202, 0).typeName == "reserved")
        #expect(InvalidationDescriptor(5, 0).widened == InvalidationDescriptor(5, 0, 0, 0))
    }
}
