// SPDX-License-Identifier: LGPL-2.1-or-later
//
// How a target says that something is wrong: the whole story on standard error, then a trap, which libFuzzer keeps the input of.

import Foundation

/// Tells what disagreed and ends the process.
func finding(_ text: String) -> Never {
    FileHandle.standardError.write(Data("\nFINDING: \(text)\n".utf8))
    abort()
}

/// Ends the process unless the two are equal.
func expect<Value: Equatable>(_ found: Value, _ wanted: Value, _ context: @autoclosure () -> String) {
    if found != wanted { finding("\(context())\n  found:  \(found)\n  wanted: \(wanted)") }
}
