// Has the PowerShell of the command documents parsed by a grammar that is not
// ours, the one that VS Code uses. Then scripts are broken on purpose, each in a
// way of its own: a parser that takes one of them proves nothing of the others.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(import.meta.url);
const { Parser, Language } = require('@vscode/tree-sitter-wasm');
const wasm = (name) => require.resolve(`@vscode/tree-sitter-wasm/wasm/${name}.wasm`);

await Parser.init({ locateFile: () => wasm('tree-sitter') });
const parser = new Parser();
parser.setLanguage(await Language.load(wasm('tree-sitter-powershell')));

// faults lists where the grammar finds no sense, or something missing.
function faults(text) {
  const found = [];
  const walk = (node) => {
    if (node.isError || node.isMissing) {
      found.push(`${node.startPosition.row + 1}:${node.startPosition.column + 1}: ${node.isMissing ? 'missing ' + node.type : 'not PowerShell: ' + node.text.split('\n')[0].slice(0, 60)}`);
      return;
    }
    if (node.hasError) node.children.forEach(walk);
  };
  walk(parser.parse(text).rootNode);
  return found;
}

// Each names a text that every good script has, and what stands there in a broken
// one.
const broken = [
  ['a brace that is not closed', /\}\s*$/, '\n'],
  ['a parenthesis too many', /\$ErrorActionPreference = 'Stop'/, "$ErrorActionPreference = 'Stop')"],
  ['a string that does not end', /\$ErrorActionPreference = 'Stop'/, "$ErrorActionPreference = 'Stop"],
  ['a foreach without in', /foreach \((\$\w+) in /, 'foreach ($1 of '],
  ['an if without a condition', /if \(([^\n]*)\) \{/, 'if {'],
  ['an operator without its right side', /\$exit = 0/, '$exit = 0 -eq'],
  ['a type that does not end', /\[int\]\$exit/, '[int$exit'],
];

// What both documents begin with stands before each one's own, as it is deployed.
const [head, ...documents] = process.argv.slice(2);
const complaints = [];
if (documents.length === 0) complaints.push('wants what all documents begin with, then the documents');
for (const file of documents) {
  const text = readFileSync(head, 'utf8') + '\n' + readFileSync(file, 'utf8');
  for (const fault of faults(text)) complaints.push(`${file}:${fault}`);
  for (const [name, good, bad] of broken) {
    const changed = text.replace(good, bad);
    if (changed === text) complaints.push(`${file}: nothing to plant ${name} in`);
    else if (faults(changed).length === 0) complaints.push(`${file}: the grammar takes ${name}`);
  }
}
for (const c of complaints) console.error(c);
console.log(`${documents.length} PowerShell scripts parsed, ${broken.length} ways to break each of them found`);
process.exit(complaints.length > 0 ? 1 : 0);
