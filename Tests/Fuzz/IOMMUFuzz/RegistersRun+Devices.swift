// SPDX-License-Identifier: LGPL-2.1-or-later
//
// What devices do beside a driver: DMA, interrupts, page requests; and the answers that tell whether what the driver latched, and
// nothing else, is in force.

import IOMMU
import IOMMUTestSupport
import VirtualVTd

extension RegistersRun {
    // MARK: DMA

    func translate() throws {
        let choice = input.byte()
        let form = input.byte()
        var request = DMARequest(
            source: RegistersProfile.sources[Int(choice & 7) % RegistersProfile.sources.count],
            iova: RegistersProfile.inputs[Int(choice >> 3 & 7) % RegistersProfile.inputs.count] | 0x123,
            access: [.read, .write, [.read, .write], [.read, .execute], [.write, .privileged], []][Int(form & 7) % 6])
        if choice >= 0xc0 { request.pasid = [3, 5, 7, 0x4_0000][Int(choice >> 3 & 3)] }
        request.kind = [.untranslated, .untranslated, .translationRequest, .translated][Int(form >> 3 & 3)]
        request.isQuiet = form & 0xe0 == 0xe0
        note("\(request)")
        // No more than an engine's ring holds.
        if model.uncollected.count >= 24 { collectFaults() }
        let result = try subject.port.translate(
            IOVA(request.iova), access: request.access.rights, source: SourceID(UInt32(request.source)),
            pasid: request.pasid.flatMap { PASID($0) }, options: request.options)
        if case .fault(let fault) = result, fault.isRecorded {
            model.uncollected.append(
                ModelFault(request, code: fault.code, addressWidth: profile.model.guestAddressWidth))
        }
        compare(request, Answer(result))
        if !subject.isInline { collectFaults() }
    }

    func collectFaults() {
        subject.front.collectFaults()
        model.collect()
        settle()
    }

    /// Tables that nobody has changed say what the answer is: those that SRTP latched last.
    private func compare(_ request: DMARequest, _ answer: Answer) {
        let root = model.root ?? 0
        guard isPristine, root == 0 || profile.roots.contains(where: { $0 & ~0xfff == root & ~0xfff }) else { return }
        let image = image
        var reference = ReferenceTranslator(
            model: profile.model, read: { image.isVisible($0, 8) ? image.load($0) : nil }, write: { _, _ in false })
        reference.rootRegister = root
        reference.isTranslationEnabled = model.isTranslating
        let wanted = reference.translate(request)
        // A device that failed can use nothing, whatever the tables say.
        if model.devices[UInt64(request.source)]?.isBlocked == true {
            if case .mapped = answer { fail("\(request) of a blocked device: \(answer)") }
            return
        }
        if answer != wanted {
            fail("\(request) with tables \(text(root)), translation \(model.isTranslating): \(answer), not \(wanted)")
        }
    }

    // MARK: Interrupts

    func interrupt() throws {
        let form = input.byte()
        let source = RegistersProfile.sources[Int(form >> 6)]
        let index = UInt64(form & 7) * (form & 7 == 7 ? 100 : 1)
        let isRemappable = form & 8 == 0
        let address = 0xfee0_0000 | index << 5 | (isRemappable ? 1 << 4 : 0)
        note("interrupt \(index) of \(text(UInt64(source))), remappable \(isRemappable)")
        let result = try subject.port.signalInterrupt(
            address: address, data: 0x31, source: SourceID(UInt32(source))
        ) { _ in }
        if case .blocked(let blocked) = result, blocked.fault.isRecorded {
            model.uncollected.append(ModelFault(interrupt: index, source: source, code: blocked.fault.code))
        }
        if isPristine { compare(result, index, source, isRemappable) }
        if !subject.isInline { collectFaults() }
    }

    /// With entries that nobody has changed: which vector it becomes, or why none [FORMATS-VTD F].
    private func compare(_ result: InterruptResult, _ index: UInt64, _ source: UInt16, _ isRemappable: Bool) {
        let table = model.interruptTable ?? 0
        var code: UInt32?
        var vector: UInt64 = 0x31
        if model.isRemapping, isRemappable {
            let known = profile.interruptTables.firstIndex { $0 & ~0xfff == table & ~0xfff }
            guard let known, table & 15 == 3 else { return }
            vector = [0x40, 0x80][known] + index
            switch index {
            case 16...: code = 0x21
            case 0: break
            case 1: code = source == 0x10 ? nil : 0x26
            default: code = 0x22
            }
        } else if model.isRemapping, model[.gsts] >> 23 & 1 == 0 || table >> 11 & 1 == 1 {
            code = 0x25
        }
        switch result {
        case .blocked(let blocked):
            if blocked.fault.code != code { fail("\(blocked), wanted \(String(describing: code))") }
        case .passed(let message), .remapped(let message):
            if code != nil || UInt64(message.vector) != vector {
                fail("vector \(message.vector), wanted \(vector) or code \(String(describing: code))")
            }
        }
    }

    // MARK: Page requests

    func askForPages() throws {
        let form = input.byte()
        let place = UInt64(input.byte())
        guard let interface = subject.interface else { return }
        collectFaults()
        let pasid: UInt32? = form & 8 == 0 ? 3 : [nil, 5, 7, 0x1_0000][Int(form >> 4 & 3)]
        let access: AccessRights = [[.read], [.write], [.read, .write], [.read]][Int(form & 3)]
        let count = 1 + (form & 0xc0 == 0xc0 ? 2 : 0)
        let group = nextGroup
        nextGroup = (nextGroup + 1) % 512
        note("page request \(group), pasid \(String(describing: pasid)), \(count) pages")
        let before = (model[.pqt], model[.prs])
        var words: [[UInt64]] = []
        var isTaken = true
        for page in 0..<count {
            let address = (place + UInt64(page)) << 12
            let isLast = page == count - 1
            words.append([
                1 | (pasid == nil ? 0 : 1 << 8) | UInt64(RegistersSubject.device) << 16 | UInt64(pasid ?? 0) << 32,
                address | UInt64(group) << 3 | (isLast ? 4 : 0) | UInt64(access.rawValue & 3), 0, 0,
            ])
            do throws(IOMMUError) {
                try interface.request(
                    PageRequest(
                        IOVA(address), access: access, pasid: pasid.flatMap { PASID($0) }, group: group, isLast: isLast)
                )
            } catch {
                isTaken = false
            }
        }
        subject.front.finishWorks()
        subject.front.collectFaults()
        takeUnknownFault()
        var wanted = model
        let stored = wanted.takePages(words, image)
        let found = (subject.front.read(0xc8, size: 8), subject.front.read(0xdc, size: 4))
        // A request that the tables refuse does not come. One that they must allow does.
        let isAllowed =
            isTaken && isPristine && model.devices[UInt64(RegistersSubject.device)]?.isBlocked != true
            && model.isTranslating && model.tableMode == 1 && pasid == 3
            && profile.roots.contains(model.root ?? 0)
        if found == before, !isAllowed { return settle() }
        model = wanted
        for (address, words) in stored {
            for (index, word) in words.enumerated() {
                let there = address + UInt64(index) * 8
                if image.load(there) != word {
                    fail("word \(index) of a page request is \(text(image.load(there))), not \(text(word))")
                }
                store(word, at: there)
            }
        }
        if stored.count == count { outstanding.append((pasid, group)) }
        settle()
    }

    /// A page request may fault: then its record is the next one.
    func takeUnknownFault() {
        let rules = model.rules.list
        func find(_ register: GuestRegister) -> UInt64 {
            guard let rule = rules.first(where: { $0.register == register }) else { return 0 }
            return subject.front.read(rule.offset, size: rule.size)
        }
        let (low, high) = (GuestRegister.recordLow(model.nextRecord), GuestRegister.recordHigh(model.nextRecord))
        let isNew = model[high] >> 63 == 0 && find(high) >> 63 == 1
        let isOverflow = model[.fsts] & 1 == 0 && find(.fsts) & 1 == 1
        guard isNew || isOverflow else { return }
        var fault = ModelFault(found: find(low), find(high))
        if isOverflow { fault.high = UInt64(RegistersSubject.device) }
        if isNew, fault.high & 0xffff != UInt64(RegistersSubject.device) || fault.high >> 32 & 0xff == 0 {
            fail("a page request leaves the record \(text(fault.low)) \(text(fault.high))")
        }
        model.uncollected.append(fault)
        model.collect()
    }

    func answerPages() {
        let form = input.byte()
        var (pasid, group): (UInt32?, Int) = (3, Int(form & 31))
        if form < 0xe0, !outstanding.isEmpty { (pasid, group) = outstanding.remove(at: Int(form) % outstanding.count) }
        let code: UInt64 = [0, 1, 0xf, 5][Int(form >> 5 & 3)]
        let low = 9 | (pasid == nil ? 0 : 1 << 4) | code << 12 | UInt64(RegistersSubject.device) << 16
        put([[low | UInt64(pasid ?? 0) << 32, UInt64(group) << 3, 0, 0]])
    }
}
