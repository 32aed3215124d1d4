// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Writes tables as files of comma-separated values (RFC 4180).

import Foundation

/// Writes one file for each table into a folder.
struct CSVWriter {
    /// Is there.
    var folder: URL

    /// Writes `name.csv` for each table.
    func write(_ tables: [DataTable]) throws {
        for table in tables {
            let file = folder.appendingPathComponent(table.name + ".csv")
            try Self.text(of: table).write(to: file, atomically: true, encoding: .utf8)
        }
    }

    static func text(of table: DataTable) -> String {
        let lines = [table.columns] + table.rows.map { $0.map(\.plain) }
        return lines.map { $0.map(quoted).joined(separator: ",") + "\n" }.joined()
    }

    private static func quoted(_ field: String) -> String {
        guard field.contains(where: { ",\"\n".contains($0) }) else { return field }
        return "\"" + field.replacingOccurrences(of: "\"", with: "\"\"") + "\""
    }
}
