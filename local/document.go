package local

import (
	_ "embed"
	"strings"
)

// ledgerDocument is the command document by which --app document brings the
// ledger to rest: a user's, as the account sees it.
const ledgerDocument = "Ledger-Quiesce"

//go:embed document.yaml
var ledgerDocumentText string

// documentOf is its text for scripts at these paths, which hold no quotes.
func documentOf(pre, post string) []byte {
	return []byte(strings.NewReplacer("PRE", "'"+pre+"'", "POST", "'"+post+"'").Replace(ledgerDocumentText))
}
