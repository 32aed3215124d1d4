// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Capabilities.Builder - capability registers under change, not checked until they become Capabilities.

internal import CIOMMU

extension Capabilities {
    /// Capability registers that may be changed by field and may contradict each other meanwhile.
    ///
    /// - Precondition: A field is only set to a value that fits it; a setter that says no range takes any value of its type.
    public struct Builder: Hashable, Sendable {
        /// The capability register, CAP [FORMATS-VTD B2].
        public var cap: UInt64
        /// The extended capability register, ECAP [FORMATS-VTD B3].
        public var ecap: UInt64
        /// The revision of the architecture.
        public var revision: Revision
        private var explicitHostAddressWidth: Int?

        /// Starts from registers, by default ones that offer nothing.
        public init(cap: UInt64 = 0, ecap: UInt64 = 0, revision: Revision = .v4) {
            self.cap = cap
            self.ecap = ecap
            self.revision = revision
        }

        /// Bits of an output address, 32 to 52. Until it is set: ``maximumGuestAddressWidth`` clamped to that range.
        public var hostAddressWidth: Int {
            get { explicitHostAddressWidth ?? min(max(maximumGuestAddressWidth, 32), 52) }
            set { explicitHostAddressWidth = newValue }
        }

        /// The first rule that these registers break, as a sentence; nil when they are consistent.
        public var contradiction: String? {
            guard let width = UInt32(exactly: hostAddressWidth) else { return "the host address width is out of range" }
            let sentence = unsafe ciommu_capabilities_check(cap, ecap, revision.rawValue, width)
            return unsafe sentence.map { unsafe String(cString: $0) }
        }

        /// Two builders are equal when they describe the same unit.
        public static func == (left: Builder, right: Builder) -> Bool {
            left.cap == right.cap && left.ecap == right.ecap && left.revision == right.revision
                && left.hostAddressWidth == right.hostAddressWidth
        }

        /// Hashes what `==` compares.
        public func hash(into hasher: inout Hasher) {
            hasher.combine(cap)
            hasher.combine(ecap)
            hasher.combine(revision)
            hasher.combine(hostAddressWidth)
        }

        /// The raw value of a field.
        subscript(field: CapabilityField) -> UInt64 {
            get { field.value(in: field.register == .cap ? cap : ecap) }
            set {
                switch field.register {
                case .cap: field.set(newValue, in: &cap)
                case .ecap: field.set(newValue, in: &ecap)
                }
            }
        }

        /// A field of one bit.
        subscript(flag field: CapabilityField) -> Bool {
            get { self[field] != 0 }
            set { self[field] = newValue ? 1 : 0 }
        }

        /// A field that means `value * scale + bias`.
        subscript(field: CapabilityField, scale scale: Int, bias bias: Int) -> Int {
            get { Int(self[field]) * scale + bias }
            set {
                precondition(
                    newValue >= bias && (newValue - bias) % scale == 0, "\(newValue) does not fit \(field.name)")
                self[field] = UInt64((newValue - bias) / scale)
            }
        }
    }
}
