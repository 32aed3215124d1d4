// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What `iommu bench --format json` printed.

import Foundation

/// The rows of a run of `iommu bench`; fields that are not named here are ignored.
struct BenchRows: Decodable {
    struct Row: Decodable {
        var name: String
        var threads: Int
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

    var rows: [Row]

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

    var table: DataTable {
        DataTable(
            name: "bench", title: "iommu bench",
            legend: "ns: nanoseconds; × a design: how many times longer that design takes; loads: how many dependent "
                + "loads that hit the first cache, or miss all caches, take as long.",
            columns: [
                "operation", "threads", "ns minimum", "ns median", "× mutex + hash table", "× rwlock + ordered map",
                "× RCU hash table", "loads, first cache", "loads, memory",
            ],
            rows: rows.map { row in
                [.text(row.name), .number(Double(row.threads), digits: 0)]
                    + [(row.nanosecondsMinimum, 2), (row.nanosecondsMedian, 2)].map { .number($0.0, digits: $0.1) }
                    + [row.ratioMutexTable, row.ratioTree, row.ratioRCUTable, row.ratioL1Load].map {
                        .number($0 ?? .nan, digits: 1)
                    } + [.number(row.ratioDRAMLoad ?? .nan, digits: 3)]
            })
    }
}

/// A file of rows that cannot be used.
struct BenchRowsError: Error, CustomStringConvertible {
    var description: String

    init(_ description: String) {
        self.description = description
    }
}
