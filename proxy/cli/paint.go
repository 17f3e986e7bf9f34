package cli

import (
	"io"
	"os"
	"runtime"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// paint says whether text has colours.
type paint bool

// paintFor has colours on terminals, where nobody has refused them
// (https://no-color.org). Old consoles of Windows would show the codes.
func paintFor(w io.Writer) paint {
	return paint(isTerminal(w) && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == "" && runtime.GOOS != "windows")
}

// Styles, as parameters of SGR (ECMA-48 section 8.3.117).
const (
	styleBold  = "1"
	styleFaint = "2"
	styleBad   = "31"
	styleGood  = "32"
	styleWarn  = "33"
)

// style is text in a style, or in two: "1;31".
func (p paint) style(style, text string) string {
	if !p || text == "" || style == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// terminalWidth is how many columns w has; 0: it is no terminal.
func terminalWidth(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// printable is text of an application or a provider for a terminal: what could steer it
// is shown as "?".
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
