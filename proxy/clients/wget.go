package clients

import (
	"os"
	"path/filepath"
	"strings"
)

// wgetMark stands before our own lines in a wgetrc.
const wgetMark = "# Outrider: what follows, up to the end, is not yours."

// wgetReplaced are the settings of a wgetrc that would take wget past us.
var wgetReplaced = []string{"ca_certificate", "http_proxy", "https_proxy", "use_proxy"}

func (d *desk) wgetrcPath() string { return d.wgetrc }

// wgetrcText is the user's own wgetrc, since WGETRC takes its place, and our
// roots. The file may hold passwords, as the user's own does.
func (d *desk) wgetrcText() string {
	var b strings.Builder
	for line := range strings.Lines(d.ownWgetrc()) {
		line = strings.TrimRight(line, "\r\n")
		if isWgetSetting(line, wgetReplaced) {
			line = "# " + line
		}
		b.WriteString(line + "\n")
	}
	b.WriteString(wgetMark + "\nca_certificate = " + d.bundle + "\n")
	return b.String()
}

func (d *desk) ownWgetrc() string {
	path := d.existing("WGETRC")
	if path == "" && d.existing("HOME") != "" {
		path = filepath.Join(d.existing("HOME"), ".wgetrc")
	}
	if path == "" {
		return ""
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "" // wget would read nothing either
	}
	own, _, _ := strings.Cut(string(data), wgetMark) // of an earlier call
	return own
}

// isWgetSetting knows that wget does not care for case, - and _ in names.
func isWgetSetting(line string, names []string) bool {
	name, _, found := strings.Cut(line, "=")
	if !found {
		return false
	}
	normal := strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(strings.TrimSpace(name)))
	for _, each := range names {
		if normal == strings.ReplaceAll(each, "_", "") {
			return true
		}
	}
	return false
}
