// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The report has what programs rely on. Nothing here looks at how long anything took.

import Foundation
import IOMMUBench
import Testing

@Suite struct BenchSuiteTests {
    private static let required = [
        "hit64-single", "hit64-batch", "hit4Ki-single", "hit4Ki-batch", "hit64Ki-single", "hit64Ki-batch",
        "hit1Mi-batch",
        "walk-hot", "walk-hot-cached", "nested-hot", "nested-hot-cached", "invalidate-page-busy",
        "invalidate-domain-busy", "fault-record",
    ]
    private static let numbers = [
        "nanosecondsMinimum", "nanosecondsMedian", "ratioMutexTable", "ratioTree", "ratioRCUTable", "ratioL1Load",
        "ratioDRAMLoad",
    ]

    private var quick: BenchSuite.Options {
        var options = BenchSuite.Options()
        options.millisecondsPerRow = 1
        options.pinsThreads = false
        options.dramLoadBytes = 1 << 20
        options.mostPages = 2048
        return options
    }

    @Test func theStandardRowsHaveEveryNameAndNumber() throws {
        var heard: [String] = []
        let report = try BenchSuite(quick).run { name, fraction in
            heard.append(name)
            #expect((0...1).contains(fraction))
        }
        let data = try JSONEncoder().encode(report)
        let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(object["engineVersion"] as? String == BenchReport.currentVersion)
        let machine = try #require(object["machine"] as? [String: Any])
        #expect((machine["processorName"] as? String)?.isEmpty == false)
        #expect(try #require(machine["processors"] as? Int) >= 1)
        #expect(try #require(machine["l1LoadNanoseconds"] as? Double) > 0)
        let rows = try #require(object["rows"] as? [[String: Any]])
        for row in rows {
            for number in Self.numbers {
                let value = try #require(row[number] as? Double, "\(row["name"] ?? "") has no \(number)")
                #expect(value.isFinite && value > 0)
            }
            #expect(try #require(row["threads"] as? Int) >= 1)
            #expect(heard.contains(try #require(row["name"] as? String)))
        }
        let names = rows.compactMap { $0["name"] as? String }
        #expect(Set(names).isSuperset(of: Self.required))
        let pairs = rows.filter { $0["threads"] as? Int == 2 }.compactMap { $0["name"] as? String }
        #expect(report.machine.processors == 1 ? pairs.isEmpty : Set(pairs) == Set(Self.required.prefix(6)))
        #expect(try JSONDecoder().decode(BenchReport.self, from: data) == report)
    }

    @Test func theVersionIsThatOfTheMakefile() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let makefile = try String(contentsOf: root.appendingPathComponent("Makefile"), encoding: .utf8)
        #expect(makefile.contains("\nVERSION := \(BenchReport.currentVersion)\n"))
    }

    @Test func rowsWithoutCounterpartSayNull() throws {
        var options = quick
        options.pattern = "host-hit64-*"
        let report = try BenchSuite(options).run()
        #expect(report.rows.map(\.name) == ["host-hit64-single", "host-hit64-batch"])
        let data = try JSONEncoder().encode(report)
        let text = String(decoding: data, as: UTF8.self)
        #expect(text.contains("\"ratioTree\":null"))
        #expect(report.text.contains("host-hit64-batch"))
        #expect(report.commaSeparated.split(separator: "\n").count == 3)
    }

    @Test func everyKindOfExtraRowRuns() throws {
        for pattern in [
            "invalidate-pasid", "unit-create", "port-create", "attach", "replace", "message-deliver", "pass-batch",
        ] {
            var options = quick
            options.pattern = pattern
            let rows = try BenchSuite(options).run().rows
            #expect(rows.first?.name == pattern)
            #expect(rows[0].nanosecondsMedian > 0)
            #expect((rows[0].bytes != nil) == pattern.hasSuffix("create"))
        }
    }

    @Test func patternsSelect() throws {
        var options = BenchSuite.Options()
        options.pattern = "nested-hot*"
        #expect(Set(try BenchSuite(options).rowNames) == ["nested-hot", "nested-hot-cached"])
        options.pattern = "1Mi-batch"
        #expect(try BenchSuite(options).rowNames == ["hit1Mi-batch"])
        options.pattern = "host-*1Mi-batch"
        #expect(try BenchSuite(options).rowNames == ["host-hit1Mi-batch"])
        options.includesAll = true
        options.pattern = "1Mi-batch"
        #expect(try BenchSuite(options).rowNames == ["hit1Mi-batch", "miss1Mi-batch", "host-hit1Mi-batch"])
        options.pattern = nil
        options.includesAll = true
        let names = try BenchSuite(options).rowNames
        #expect(names.count > 60)
    }

    @Test func aPatternThatMatchesNothingSaysWhichRowsThereAre() {
        var options = BenchSuite.Options()
        options.pattern = "nonsense"
        #expect {
            try BenchSuite(options)
        } throws: { error in
            let text = "\(error)"
            return text.contains("'nonsense'") && text.contains("hit64-single") && text.contains("walk-cold-batch")
        }
    }
}
