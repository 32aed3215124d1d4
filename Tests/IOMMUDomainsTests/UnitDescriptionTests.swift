// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What a unit says about itself, and how such a description is read [B-B3].

import Foundation
import IOMMU
import IOMMUTestSupport
import Testing

@Suite struct UnitDescriptionTests {
    private func read(_ json: String) throws -> UnitDescription {
        try JSONDecoder().decode(UnitDescription.self, from: Data(json.utf8))
    }

    private func refusal(_ json: String) -> IOMMUError? {
        do {
            _ = try read(json)
            return nil
        } catch {
            return error as? IOMMUError
        }
    }

    @Test func aUnitDescribesItself() throws {
        let bench = try HostBench()
        let description = bench.unit.unitDescription
        #expect(description.model == .vtd)
        #expect(description.model.rawValue == 1)
        #expect(description.properties.map(\.name) == UnitDescription.definitions.map(\.name))
        #expect(description["cap"] == .register(Capabilities.full.cap))
        #expect(description["ecap"] == .register(Capabilities.full.ecap))
        #expect(description["revision"] == .number(4))
        #expect(description["host_address_width"] == .number(52))
        #expect(description["input_bits"] == .number(57))
        #expect(description["output_bits"] == .number(52))
        #expect(description["pasid_bits"] == .number(20))
        #expect(description["domain_bits"] == .number(16))
        #expect(description["nesting"] == .flag(true))
        #expect(
            description["page_table_formats"]
                == .names([
                    "vtd_first_stage_48", "vtd_first_stage_57", "vtd_second_stage_39", "vtd_second_stage_48",
                    "vtd_second_stage_57",
                ]))
        #expect(description["second_stage_pages"] == .names(["4K", "2M", "1G"]))
        #expect(description["no such property"] == nil)
    }

    @Test func everyDefinitionIsUniqueAndOfItsType() throws {
        let names = UnitDescription.definitions.map(\.name)
        #expect(Set(names).count == names.count)
        for definition in UnitDescription.definitions {
            #expect(!definition.summary.isEmpty)
            #expect(definition.name.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" })
        }
    }

    @Test func aDescriptionSurvivesJSON() throws {
        let capabilities = [
            Capabilities.full,
            try Capabilities(cap: 0x26_0200, ecap: 0),
            try UnitModel.revision3.capabilities(),
            try Capabilities(basedOn: .full) {
                $0.pasidBits = 9
                $0.hostAddressWidth = 39
                $0.firstStage5Level = false
            },
        ]
        for capabilities in capabilities {
            let description = UnitDescription(capabilities)
            let data = try JSONEncoder().encode(description)
            let copy = try JSONDecoder().decode(UnitDescription.self, from: data)
            #expect(copy == description)
            #expect(copy.capabilities == capabilities)
            let again = try UnitDescription(model: description.model, properties: description.properties)
            #expect(again == description)
        }
    }

    @Test func absentPropertiesTakeTheirDefaults() throws {
        let empty = try read(#"{"model": 1}"#)
        #expect(try empty == read(#"{"model": 1, "properties": {}}"#))
        #expect(empty["cap"] == .register(0x26_0200))
        #expect(empty["ecap"] == .register(0))
        #expect(empty["revision"] == .number(4))
        #expect(empty["host_address_width"] == .number(39))
        #expect(empty["page_table_formats"] == .names(["vtd_second_stage_39"]))
        #expect(empty["pasid_bits"] == .number(0))
        #expect(empty["nesting"] == .flag(false))
        let wider = try read(#"{"model": 1, "properties": {"host_address_width": 46}}"#)
        #expect(wider.capabilities.hostAddressWidth == 46)
    }

    @Test func unknownPropertiesAreSkipped() throws {
        let json = #"{"model": 1, "colour": [1], "properties": {"warp": {"a": [null]}, "revision": 3, "cap2": 7}}"#
        #expect(try read(json).capabilities.revision == .v3)
        let same = try UnitDescription(
            model: .vtd, properties: [.init("warp", .number(9)), .init("revision", .number(3))])
        #expect(try same == read(json))
    }

    @Test func registersMayBeNumbersToo() throws {
        let cap = Capabilities.full.cap
        let ecap = Capabilities.full.ecap
        let numbers = try read(#"{"model": 1, "properties": {"cap": \#(cap), "ecap": \#(ecap)}}"#)
        #expect(numbers.capabilities.cap == cap && numbers.capabilities.ecap == ecap)
    }

    @Test func anotherModelIsRefusedByName() throws {
        #expect(refusal(#"{"model": 2, "properties": {"cap": "anything"}}"#) == .unsupported)
        #expect(refusal(#"{"model": 2}"#)?.detail?.contains("2 (SMMUv3)") == true)
        #expect(refusal(#"{"model": 3000000000}"#)?.detail?.contains("3000000000") == true)
        #expect(throws: DecodingError.self) { try read(#"{"model": -1}"#) }
        #expect(throws: DecodingError.self) { try read(#"{"properties": {}}"#) }
    }

    @Test(arguments: [
        (#"{"revision": 5}"#, IOMMUError.unsupported, "revision 5"),
        (#"{"revision": 4294967300}"#, .unsupported, "4294967300"),
        (#"{"host_address_width": 53}"#, .inconsistent, "32...52"),
        (#"{"host_address_width": 18446744073709551615}"#, .inconsistent, "width"),
        (#"{"cap": "0x0"}"#, .inconsistent, "MGAW"),
        (#"{"ecap": "0x4000000"}"#, .inconsistent, "SMTS"),
        (#"{"pasid_bits": 20}"#, .inconsistent, "pasid_bits"),
        (#"{"nesting": true}"#, .inconsistent, "nesting"),
        (#"{"page_table_formats": ["vtd_second_stage_48"]}"#, .inconsistent, "page_table_formats"),
    ])
    func whatContradictsIsNamed(_ properties: String, _ error: IOMMUError, _ word: String) throws {
        let refusal = try #require(self.refusal(#"{"model": 1, "properties": \#(properties)}"#))
        #expect(refusal == error)
        #expect(refusal.detail?.contains(word) == true, "\(refusal)")
    }

    @Test(arguments: [
        #"{"cap": "26"}"#, #"{"cap": "0x"}"#, #"{"cap": "0x+1"}"#, #"{"cap": "0x10000000000000000"}"#, #"{"cap": -1}"#,
        #"{"cap": 1.5}"#, #"{"cap": null}"#, #"{"cap": true}"#, #"{"revision": "4"}"#, #"{"nesting": 0}"#,
        #"{"page_table_formats": "x"}"#, #"[]"#,
    ])
    func valuesOfAnotherTypeAreRefused(_ properties: String) {
        #expect(throws: DecodingError.self) { try read(#"{"model": 1, "properties": \#(properties)}"#) }
    }

    @Test func propertiesOfAnotherTypeOrTwiceAreRefused() {
        #expect(throws: IOMMUError.invalidArgument) {
            try UnitDescription(model: .vtd, properties: [.init("cap", .number(1))])
        }
        #expect(throws: IOMMUError.invalidArgument) {
            try UnitDescription(
                model: .vtd, properties: [.init("revision", .number(4)), .init("revision", .number(4))])
        }
    }

    @Test func theTextNamesModelPropertiesAndCapabilities() {
        let text = UnitDescription(.full).text
        for word in ["1 (VT-d)", "host_address_width", "vtd_first_stage_57", "CAP.SAGAW", "ECAP.NEST", "nesting"] {
            #expect(text.contains(word))
        }
    }
}
