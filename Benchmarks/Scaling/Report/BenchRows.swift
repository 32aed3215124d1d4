// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What `iommu bench --format json` printed.

import Foundation

/// The rows of a run of `iommu bench`; fields that are not named here are ignored.
struct BenchRows: Decodable {
    struct Row: Decodable {
        var name: String
        var threads: Int
        /// In words; not every version prints it.
        var title: String?
        var nanosecondsMinimum: Double
        var nanosecondsMedian: Double
        /// Baseline ÷ engine: how many times faster the engine is. `nil`: not measured.
        var ratioMutexTable: Double?
        var ratioTree: Double?
        var ratioRCUTable: Double?
        /// Engine ÷ load: how many loads it takes.
        var ratioL1Load: Double?
        var ratioDRAMLoad: Double?
    }

    /// What loads take on that machine; not every version prints it.
    struct Machine: Decodable {
        var l1LoadNanoseconds: Double?
        var dramLoadNanoseconds: Double?
    }

    var rows: [Row]
    var machine: Machine?
    /// "release", or "debug", whose figures mean nothing.
    var build: String?
    /// What to be careful about.
    var notes: [String]?

    /// Reads them; the error says what is wrong with the file.
    init(file: URL) throws {
        let data: Data
        do {
            data = try Data(contentsOf: file)
        } catch {
            throw BenchRowsError("cannot read \(file.path): \(error.localizedDescription)")
        }
        do {
            self = try JSONDecoder().decode(BenchRows.self, from: data)
        } catch DecodingError.keyNotFound(let key, _) {
            throw BenchRowsError("\(file.path): a row, or the whole, lacks \"\(key.stringValue)\"")
        } catch {
            throw BenchRowsError("\(file.path) is not what 'iommu bench --format json' prints")
        }
        if rows.isEmpty {
            throw BenchRowsError("\(file.path) has no rows")
        }
    }

    /// What to say besides the rows.
    var remarks: [String] {
        var remarks = (notes ?? []).map { "Take care: \($0)" }
        if build == "debug" {
            remarks.append("Take care: this was a build for debugging, whose figures mean nothing.")
        }
        if let first = machine?.l1LoadNanoseconds, let memory = machine?.dramLoadNanoseconds {
            remarks.append(
                "In that run a load that hits the first cache took \(grouped(first, digits: 2)) ns, one that misses all "
                    + "caches \(grouped(memory, digits: 0)) ns.")
        }
        return remarks
    }

    private var isTitled: Bool { rows.contains { $0.title != nil } }

    var table: DataTable {
        DataTable(
            name: "bench", title: "iommu bench",
            legend: "ns: nanoseconds; × a design: how many times longer that design takes; loads: how many dependent "
                + "loads that hit the first cache, or miss all caches, take as long.",
            columns: [
                "operation", "threads", "ns minimum", "ns median", "× mutex + hash table", "× rwlock + ordered map",
                "× RCU hash table", "loads, first cache", "loads, memory",
            ] + (isTitled ? ["what"] : []),
            rows: rows.map(cells))
    }

    /// So many digits after the point as a ratio deserves.
    static func digits(_ ratio: Double) -> Int {
        ratio >= 10 ? 0 : ratio >= 1 ? 1 : ratio >= 0.1 ? 2 : 3
    }

    private func cells(_ row: Row) -> [DataCell] {
        var cells: [DataCell] = [.text(row.name), .number(Double(row.threads), digits: 0)]
        for time in [row.nanosecondsMinimum, row.nanosecondsMedian] {
            cells.append(.number(time, digits: time < 1000 ? 2 : 0))
        }
        for ratio in [row.ratioMutexTable, row.ratioTree, row.ratioRCUTable, row.ratioL1Load] {
            cells.append(.number(ratio ?? .nan, digits: Self.digits(ratio ?? 1)))
        }
        cells.append(.number(row.ratioDRAMLoad ?? .nan, digits: 3))
        if isTitled {
            cells.append(.text(row.title ?? ""))
        }
        return cells
    }
}

/// A file of rows that cannot be used.
struct BenchRowsError: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) {
        self.description = description
    }
}
