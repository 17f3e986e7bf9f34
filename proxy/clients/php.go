package clients

import (
	"path/filepath"
	"strings"
)

// phpIni tells both ways in which PHP makes TLS connections about our roots.
func (d *desk) phpIni() string {
	quoted := `"` + strings.ReplaceAll(d.bundle, `"`, `\"`) + `"`
	return "; Outrider: the roots to trust\ncurl.cainfo = " + quoted + "\nopenssl.cafile = " + quoted + "\n"
}

// phpScanDir adds our directory to those that are scanned. An empty element of
// the list is the directory that PHP was built with.
func (d *desk) phpScanDir() string {
	if d.phpDir == "" {
		return ""
	}
	separator := string(filepath.ListSeparator)
	var dirs []string
	for _, dir := range strings.Split(d.Environ("PHP_INI_SCAN_DIR"), separator) {
		if !d.isOwn(dir) {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(append(dirs, d.phpDir), separator)
}

// isOwn reports whether a path is one of those that we write.
func (d *desk) isOwn(path string) bool {
	inside, err := filepath.Rel(d.Dir, path)
	return err == nil && path != "" && d.Dir != "" && filepath.IsLocal(inside)
}
