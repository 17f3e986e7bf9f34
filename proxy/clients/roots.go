package clients

import (
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxRoots bounds a file of roots that is read: those of the web have some 250 KiB.
const maxRoots = 8 << 20

// mergedBundle is Bundle, or, where the environment trusts roots that Bundle does
// not have, one with those as well: who has told a client about the authority of
// a company must not lose it.
func (d *desk) mergedBundle() (string, error) {
	if d.Bundle == "" {
		return "", nil
	}
	whole, err := readRoots(d.Bundle)
	if err != nil {
		return "", fmt.Errorf("reading the roots for clients: %w", err)
	}
	known := make(map[string]bool) // certificate, DER
	for _, der := range certificates(whole) {
		known[der] = true
	}
	var more strings.Builder
	for _, path := range d.trusted() {
		data, err := readRoots(path)
		if err != nil {
			continue // whoever named it cannot read it either
		}
		for _, der := range certificates(data) {
			if !known[der] {
				known[der] = true
				_ = pem.Encode(&more, &pem.Block{Type: "CERTIFICATE", Bytes: []byte(der)}) // a Builder takes all
			}
		}
	}
	if more.Len() == 0 {
		return d.Bundle, nil
	}
	text := strings.TrimRight(string(whole), "\n") + "\n" + more.String()
	return writeNamed(d.Dir, "roots-", "roots.pem", text, 0o644)
}

// trusted are the files of roots that the environment names.
func (d *desk) trusted() []string {
	paths := []string{d.existing("NODE_EXTRA_CA_CERTS")}
	for _, e := range rootsTable {
		paths = append(paths, d.existing(e.name))
	}
	return slices.DeleteFunc(paths, func(path string) bool { return !filepath.IsAbs(path) })
}

func readRoots(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxRoots))
}

// certificates are those of a PEM text, DER.
func certificates(text []byte) []string {
	var all []string
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all
		}
		if block.Type == "CERTIFICATE" {
			all = append(all, string(block.Bytes))
		}
	}
}
