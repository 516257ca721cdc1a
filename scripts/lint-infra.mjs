// Has what is deployed judged by validators that are not ours: every state
// machine's definition by two, the template by AWS's own. Each finds what the
// others miss, and none finds all that the definitions' own contract checks do.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const require = createRequire(import.meta.url);
const validateDefinition = require('asl-validator');
const { getLanguageService, DiagnosticSeverity } = require('amazon-states-language-service');
const { TextDocument } = require('vscode-languageserver-textdocument');
const { RegoEngine, TemplateFile } = require('@aws/cloudformation-validate');

const path = process.argv[2] ?? 'cdk.out/Quiesce.template.json';
const findings = [];

// Values outside of an enumeration are but a warning to the template's
// validator; CloudFormation refuses them after half of the stack is made.
const grave = ['W3030'];

// What is accepted, with the reason.
const accepted = new Map([]);

function judgeTemplate() {
  const engine = new RegoEngine();
  try {
    for (const d of engine.validateStandard(new TemplateFile(path)).diagnostics) {
      const counts = ['ERROR', 'FATAL'].includes(d.severity) || grave.includes(d.ruleId);
      if (counts && !accepted.has(d.ruleId)) findings.push(`template: ${d.ruleId} ${JSON.stringify(d)}`);
    }
  } finally {
    engine.free();
  }
}

async function judgeDefinition(name, text) {
  const { isValid, errorsText } = validateDefinition(structuredClone(JSON.parse(text)));
  if (!isValid) findings.push(`${name}: ${errorsText('\n  ')}`);

  const service = getLanguageService({});
  const document = TextDocument.create(`file:///${name}.asl.json`, 'asl', 1, text);
  const diagnostics = await service.doValidation(document, service.parseJSONDocument(document));
  for (const d of diagnostics) {
    if (d.severity === DiagnosticSeverity?.Error || d.severity === 1) {
      findings.push(`${name}: line ${d.range.start.line + 1}: ${d.message}`);
    }
  }
}

judgeTemplate();
let machines = 0;
const template = JSON.parse(readFileSync(path, 'utf8'));
for (const { Type, Properties } of Object.values(template.Resources)) {
  if (Type !== 'AWS::StepFunctions::StateMachine') continue;
  // The validators want ARNs where CloudFormation will put them.
  const text = Properties.DefinitionString.replaceAll(/\$\{(\w+)\}/g, 'arn:aws:lambda:eu-central-1:123456789012:function:$1');
  await judgeDefinition(Properties.StateMachineName, text);
  machines++;
}
if (machines === 0) findings.push('the template has no state machine: nothing was judged');
for (const f of findings) console.error(f);
console.log(`lint-infra: ${machines} definitions and the template, ${findings.length} findings`);
process.exit(findings.length ? 1 : 0);
