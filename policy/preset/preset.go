package preset

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"
)

// A Preset is what we know of a provider. It is shared by all who ask: nobody
// changes it.
type Preset struct {
	Name       string   `json:"name"`
	Title      string   `json:"title"`
	VerifiedOn string   `json:"verified_on"`     // the date as of which it is known, "2026-11-01"
	Sources    []string `json:"sources"`         // URLs, or issues by their short names
	Notes      []string `json:"notes"`           // for people: traps, and limits that no setting can say
	Probe      string   `json:"probe,omitempty"` // "GET /path": harmless, and answered with 2xx only if the credential is good; "": none is known

	Needs    map[string]string `json:"needs,omitempty"` // key path in the upstream's table → what its user has to write there
	Upstream map[string]any    `json:"upstream"`        // in the form of an [upstream.NAME], save auth: see the package
}

// Names lists the presets, sorted.
func Names() []string { return slices.Sorted(maps.Keys(all())) }

// Find gives the preset of a name.
func Find(name string) (Preset, bool) {
	p, ok := all()[name]
	return p, ok
}

// AuthTypes lists the types of credentials that a preset knows something of. The
// first is the one that is meant where a user names none.
func (p Preset) AuthTypes() []string {
	auth, _ := p.Upstream["auth"].(map[string]any)
	first, _ := auth["type"].(string)
	types := []string{first}
	for _, kind := range slices.Sorted(maps.Keys(auth)) {
		if kind != "type" && kind != first {
			types = append(types, kind)
		}
	}
	return types
}

// Auth is what a preset knows of a type of credential, in the form of an auth table
// without its type; nil if nothing.
func (p Preset) Auth(kind string) map[string]any {
	auth, _ := p.Upstream["auth"].(map[string]any)
	known, _ := auth[kind].(map[string]any)
	return known
}

// URL is where calls go; "" where that is for the user to say.
func (p Preset) URL() string {
	url, _ := p.Upstream["url"].(string)
	return url
}

//go:embed *.toml
var files embed.FS

// all maps name → preset.
var all = sync.OnceValue(func() map[string]Preset {
	presets := map[string]Preset{}
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the files are part of the program
	}
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), ".toml")
		p, err := parse(name)
		if err != nil {
			panic(fmt.Sprintf("preset %s: %v", name, err))
		}
		presets[name] = p
	}
	return presets
})

func parse(name string) (Preset, error) {
	var file struct {
		Title      string            `toml:"title"`
		VerifiedOn time.Time         `toml:"verified_on"`
		Sources    []string          `toml:"sources"`
		Notes      []string          `toml:"notes"`
		Probe      string            `toml:"probe"`
		Needs      map[string]string `toml:"needs"`
		Upstream   map[string]any    `toml:"upstream"`
	}
	meta, err := toml.DecodeFS(files, name+".toml", &file)
	if err != nil {
		return Preset{}, err
	}
	for _, key := range meta.Undecoded() {
		if key[0] != "upstream" { // what a map holds is never counted as decoded
			return Preset{}, fmt.Errorf("unknown key %s", key)
		}
	}
	return Preset{
		Name: name, Title: file.Title, VerifiedOn: file.VerifiedOn.Format(time.DateOnly),
		Sources: file.Sources, Notes: file.Notes, Probe: file.Probe,
		Needs: file.Needs, Upstream: file.Upstream,
	}, nil
}
