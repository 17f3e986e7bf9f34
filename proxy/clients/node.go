package clients

import (
	_ "embed"
	"path/filepath"
	"strings"
)

// capture is what Node loads before the application.
//
//go:embed capture.cjs
var capture string

const captureName = "capture.cjs"

// nodeOptions preloads capture, after what was asked for already.
func nodeOptions(d *desk) string {
	if d.preload == "" {
		return ""
	}
	words := splitNode(d.existing("NODE_OPTIONS"))
	var options []string
	for i := 0; i < len(words); i++ {
		if words[i] == "--require" && i+1 < len(words) && d.isPreload(words[i+1]) {
			i++ // of an earlier call
			continue
		}
		options = append(options, quoteNode(words[i]))
	}
	return strings.Join(append(options, "--require", quoteNode(d.preload)), " ")
}

func (d *desk) isPreload(path string) bool {
	return filepath.Base(path) == captureName && filepath.Dir(filepath.Dir(path)) == filepath.Clean(d.Dir)
}

// splitNode reads NODE_OPTIONS as Node does: spaces part, double quotes hold
// together, and a backslash escapes inside of them only.
func splitNode(text string) []string {
	var words []string
	var b strings.Builder
	quoted, begun := false, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quoted && c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case c == '"':
			quoted, begun = !quoted, true
		case c == ' ' && !quoted:
			if begun {
				words = append(words, b.String())
			}
			b.Reset()
			begun = false
		default:
			b.WriteByte(c)
			begun = true
		}
	}
	if begun {
		words = append(words, b.String())
	}
	return words
}

func quoteNode(word string) string {
	if word != "" && !strings.ContainsAny(word, ` "`) {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
}
