// SPDX-License-Identifier: LGPL-2.1-or-later
//
// A unit with two ports for the tests of PASID namespaces, and the C calls without pointers.

import CIOMMU

// @safe: the handles are made once and destroyed with this object; tests end their sections.
/// A unit, and the namespaces that were made in it.
@safe
final class NamespaceBench {
    let memory: OpaquePointer
    let unit: OpaquePointer
    let port: BenchPort
    let otherPort: BenchPort
    /// In no section: calls that name it wait for the others.
    let idlePort: BenchPort
    private var namespaces: [OpaquePointer]

    /// The drain's timeout is 0: what would wait for a section times out at once.
    init(ecap: UInt64? = nil) {
        var config = ciommu_unit_config()
        unsafe ciommu_unit_config_init(&config)
        config.ecap = ecap ?? config.ecap
        config.drain_timeout = 0
        let memory = unsafe Self.made { unsafe ciommu_memory_create($0) }
        let unit = unsafe Self.made { unsafe ciommu_unit_create(&config, memory, $0) }
        unsafe self.memory = memory
        unsafe self.unit = unit
        unsafe namespaces = []
        port = unsafe BenchPort(handle: Self.made { unsafe ciommu_port_create(unit, $0) })
        otherPort = unsafe BenchPort(handle: Self.made { unsafe ciommu_port_create(unit, $0) })
        idlePort = unsafe BenchPort(handle: Self.made { unsafe ciommu_port_create(unit, $0) })
    }

    deinit {
        for index in unsafe namespaces.indices {
            unsafe ciommu_namespace_destroy(namespaces[index])
        }
        precondition(unsafe ciommu_unit_destroy(unit) == CIOMMU_OK)
        precondition(unsafe ciommu_memory_destroy(memory) == CIOMMU_OK)
    }

    private static func made(_ make: (UnsafeMutablePointer<OpaquePointer?>) -> ciommu_status) -> OpaquePointer {
        var handle: OpaquePointer?
        let status = unsafe make(&handle)
        precondition(status == CIOMMU_OK)
        return unsafe handle!
    }

    /// Makes a namespace that lives as long as the bench, or says why not.
    func create(_ first: UInt32, _ last: UInt32) -> Result<Namespace, Refusal> {
        var handle: OpaquePointer?
        let status = unsafe ciommu_namespace_create(unit, first, last, &handle)
        guard status == CIOMMU_OK, let handle = unsafe handle else {
            return .failure(Refusal(status: status))
        }
        unsafe namespaces.append(handle)
        return .success(unsafe Namespace(handle: handle, bench: self))
    }

    /// What creating one answers.
    func creating(_ first: UInt32, _ last: UInt32) -> ciommu_status {
        switch create(first, last) {
        case .success: CIOMMU_OK
        case .failure(let refusal): refusal.status
        }
    }

    /// What draining the unit answers.
    func drain() -> ciommu_status {
        unsafe ciommu_unit_drain(unit, nil)
    }
}

// @safe: used only while its bench is.
/// A port of a bench.
@safe
struct BenchPort {
    let handle: OpaquePointer

    func enter() {
        unsafe ciommu_port_enter(handle)
    }

    func leave() {
        unsafe ciommu_port_leave(handle)
    }
}

struct Refusal: Error {
    var status: ciommu_status
}

// @safe: keeps the bench alive, which destroys the handle.
/// A namespace of a bench.
@safe
struct Namespace {
    let handle: OpaquePointer
    let bench: NamespaceBench

    /// The status, and the host PASID that came with `CIOMMU_OK`.
    func bind(_ guest: UInt32, to wanted: UInt32 = noPASID) -> (status: ciommu_status, host: UInt32) {
        var host = wanted
        let status = unsafe ciommu_namespace_bind(handle, guest, &host)
        return (status, status == CIOMMU_OK ? host : noPASID)
    }

    func unbind(_ guest: UInt32, port: BenchPort? = nil) -> ciommu_status {
        unsafe ciommu_namespace_unbind(handle, port?.handle, guest)
    }

    func host(of guest: UInt32) -> UInt32 {
        unsafe ciommu_namespace_host(handle, guest)
    }

    func guest(of host: UInt32) -> UInt32 {
        unsafe ciommu_namespace_guest(handle, host)
    }

    var guests: [UInt32] {
        Array(
            sequence(state: UInt32(0)) { next in
                let guest = unsafe ciommu_namespace_next(handle, next)
                next = guest &+ 1
                return guest == noPASID ? nil : guest
            })
    }
}

let noPASID = UInt32.max
let lastPASID: UInt32 = 1 << 20 - 1
