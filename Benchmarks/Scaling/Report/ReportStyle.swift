// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The style sheet of the report: for light and dark screens, narrow ones, and paper.

/// Colours are chosen to differ for colour-blind readers too; marks differ in shape besides.
let reportStyle = """
    :root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --soft: #57606a; --grid: #e3e7eb; --base: #8c959f;
      --box: #f6f8fa; --s0: #0060a8; --s1: #c8500a; --s2: #00795a; --s3: #a83f86; --s4: #6a6f76; }
    @media (prefers-color-scheme: dark) { :root { --paper: #15191e; --ink: #e6e9ed; --soft: #a3adb8; --grid: #2c333b;
      --base: #6b7682; --box: #1e242b; --s0: #5cb3f5; --s1: #f5a04c; --s2: #3fc79b; --s3: #e08fc4; --s4: #a9b1ba; } }
    * { box-sizing: border-box; }
    body { margin: 0 auto; padding: 24px; max-width: 1120px; background: var(--paper); color: var(--ink);
      font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
    h1 { font-size: 28px; line-height: 1.2; margin: 8px 0; }
    h2 { font-size: 21px; margin: 44px 0 6px; padding-top: 14px; border-top: 1px solid var(--grid); }
    p, li { max-width: 50em; }
    a { color: var(--s0); }
    dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 16px; margin: 12px 0; }
    dt { color: var(--soft); }
    dd { margin: 0; overflow-wrap: anywhere; }
    .summary { background: var(--box); border-radius: 8px; padding: 4px 20px; margin: 16px 0; }
    .panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(310px, 1fr)); gap: 18px; }
    .panels svg { width: 100%; height: auto; display: block; }
    .wide svg { width: 100%; height: auto; display: block; max-width: 1000px; }
    .legend { display: flex; flex-wrap: wrap; gap: 4px 22px; margin: 10px 0; padding: 0; list-style: none; font-size: 15px; }
    .legend li { display: flex; align-items: center; gap: 8px; }
    .legend svg { width: 34px; height: 14px; flex: none; }
    svg text { font: 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--soft); }
    svg text.title { font-size: 14px; font-weight: 600; fill: var(--ink); }
    svg text.row { fill: var(--ink); }
    svg text.small { font-size: 9.5px; }
    svg text.note { font-size: 10.5px; }
    .grid { stroke: var(--grid); stroke-width: 1; }
    .base { stroke: var(--base); stroke-width: 1; }
    .reference { stroke: var(--base); stroke-width: 1.5; stroke-dasharray: 5 4; fill: none; }
    .line { fill: none; stroke-width: 2; }
    .line.s0 { stroke-width: 3; }
    .mark { stroke-width: 2; }
    .s0 { stroke: var(--s0); fill: var(--s0); } .s1 { stroke: var(--s1); fill: var(--s1); }
    .s2 { stroke: var(--s2); fill: var(--s2); } .s3 { stroke: var(--s3); fill: var(--s3); }
    .s4 { stroke: var(--s4); fill: var(--s4); }
    .line.s0, .line.s1, .line.s2, .line.s3, .line.s4 { fill: none; }
    .bar { stroke: none; }
    pre { background: var(--box); border-radius: 6px; padding: 10px 14px; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 14px; margin: 10px 0; }
    pre span, code span { white-space: nowrap; }
    details { margin: 10px 0; }
    summary { cursor: pointer; color: var(--soft); }
    .table { overflow-x: auto; }
    table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
    caption { text-align: left; color: var(--soft); padding: 4px 0; }
    th, td { padding: 3px 12px 3px 0; text-align: left; border-bottom: 1px solid var(--grid); }
    th { vertical-align: bottom; font-weight: 600; max-width: 11em; }
    td { white-space: nowrap; }
    td:last-child { white-space: normal; }
    td.n, th.n { text-align: right; }
    .note { color: var(--soft); font-size: 15px; }
    @media print { body { max-width: none; } section { break-inside: avoid; } }
    """
