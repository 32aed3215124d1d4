// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Capabilities: each property of the builder is the bit that the specification gives it, and no other (a table of its own, from
// FORMATS-VTD B2 and B3).

import IOMMU
import Testing

@Suite struct CapabilityFlagGapTests {
    /// A property, and its bit of CAP or of ECAP.
    struct Flag: Sendable, CustomTestStringConvertible {
        enum Register: Sendable { case cap, ecap }

        let path: WritableKeyPath<Capabilities.Builder, Bool> & Sendable
        let register: Register
        let bit: UInt64

        init(_ path: WritableKeyPath<Capabilities.Builder, Bool> & Sendable, _ register: Register, _ bit: UInt64) {
            self.path = path
            self.register = register
            self.bit = bit
        }

        var testDescription: String { "\(register) bit \(bit)" }
    }

    static let flags: [Flag] = [
        Flag(\.advancedFaultLogging, .cap, 3),
        Flag(\.writeBufferFlush, .cap, 4),
        Flag(\.protectedLowMemory, .cap, 5),
        Flag(\.protectedHighMemory, .cap, 6),
        Flag(\.cachingMode, .cap, 7),
        Flag(\.zeroLengthReads, .cap, 22),
        Flag(\.pageSelectiveInvalidation, .cap, 39),
        Flag(\.drainsWrites, .cap, 54),
        Flag(\.drainsReads, .cap, 55),
        Flag(\.firstStage1GiB, .cap, 56),
        Flag(\.postedInterrupts, .cap, 59),
        Flag(\.firstStage5Level, .cap, 60),
        Flag(\.enhancedCommands, .cap, 61),
        Flag(\.enhancedSetInterruptTable, .cap, 62),
        Flag(\.enhancedSetRootTable, .cap, 63),
        Flag(\.coherentPageWalks, .ecap, 0),
        Flag(\.queuedInvalidation, .ecap, 1),
        Flag(\.deviceTLBs, .ecap, 2),
        Flag(\.interruptRemapping, .ecap, 3),
        Flag(\.extendedInterruptMode, .ecap, 4),
        Flag(\.passThrough, .ecap, 6),
        Flag(\.snoopControl, .ecap, 7),
        Flag(\.extendedContexts, .ecap, 24),
        Flag(\.memoryTypes, .ecap, 25),
        Flag(\.nestedTranslation, .ecap, 26),
        Flag(\.deferredInvalidation, .ecap, 27),
        Flag(\.pageRequests, .ecap, 29),
        Flag(\.executeRequests, .ecap, 30),
        Flag(\.supervisorRequests, .ecap, 31),
        Flag(\.pasidOnlyTranslation, .ecap, 32),
        Flag(\.noWriteFlag, .ecap, 33),
        Flag(\.extendedAccessedFlag, .ecap, 34),
        Flag(\.pasids, .ecap, 40),
        Flag(\.deviceTLBInvalidationThrottle, .ecap, 41),
        Flag(\.pageRequestDrain, .ecap, 42),
        Flag(\.scalableMode, .ecap, 43),
        Flag(\.virtualCommands, .ecap, 44),
        Flag(\.secondStageAccessedDirty, .ecap, 45),
        Flag(\.secondStage, .ecap, 46),
        Flag(\.firstStage, .ecap, 47),
        Flag(\.pageWalkCoherency, .ecap, 48),
        Flag(\.ridPASID, .ecap, 49),
        Flag(\.tdxIO, .ecap, 50),
        Flag(\.performanceMonitoring, .ecap, 51),
        Flag(\.abortDMA, .ecap, 52),
        Flag(\.ridPrivilege, .ecap, 53),
        Flag(\.stopMarkers, .ecap, 58),
    ]

    @Test(arguments: flags)
    func aPropertyIsItsBit(_ flag: Flag) {
        var builder = Capabilities.Builder()
        #expect(!builder[keyPath: flag.path])
        builder[keyPath: flag.path] = true
        #expect(builder[keyPath: flag.path])
        #expect(builder.cap == (flag.register == .cap ? 1 << flag.bit : 0))
        #expect(builder.ecap == (flag.register == .ecap ? 1 << flag.bit : 0))
        builder = Capabilities.Builder(cap: .max, ecap: .max)
        #expect(builder[keyPath: flag.path])
        builder[keyPath: flag.path] = false
        #expect(!builder[keyPath: flag.path])
        #expect(builder.cap == (flag.register == .cap ? ~(1 << flag.bit) : .max))
        #expect(builder.ecap == (flag.register == .ecap ? ~(1 << flag.bit) : .max))
    }
}
