package cli

import (
	"maps"
	"slices"
	"strings"

	"outrider/policy/config"
)

// placeholderPrefix stands before the name of the upstream whose secret a
// program is not to see. An upstream of type placeholder puts the secret where
// it finds that; the others put their credential on whatever the program sends.
const placeholderPrefix = "outrider-placeholder-"

// placeholders finds the variables that hold secrets: those of upstreams, with
// what a program gets in their place, and those of Outrider itself. A variable
// that several upstreams use gets the placeholder of the first.
func placeholders(file *config.File) (values map[string]string, drop []string) {
	values = make(map[string]string) // variable → placeholder
	for _, u := range file.Upstreams {
		policies := []config.Policy{u.Policy}
		for _, rule := range u.Rules {
			policies = append(policies, rule.Policy)
		}
		for _, p := range policies {
			for _, ref := range p.Auth.Secrets() {
				if name, ok := variableOf(ref); ok && values[name] == "" {
					values[name] = placeholderPrefix + u.Name
				}
			}
		}
	}
	own := map[string]bool{"OUTRIDER_KEY": true}
	refs := []config.Reference{file.AccessKey, file.Store.Key, config.Reference(file.Egress.Proxy)}
	for _, u := range file.Upstreams {
		refs = append(refs, config.Reference(u.Egress.Proxy))
	}
	for _, ref := range refs {
		if name, ok := variableOf(ref); ok {
			own[name] = true
		}
	}
	return values, sortedKeys(own)
}

// variableOf is the variable that a reference names.
func variableOf(ref config.Reference) (string, bool) {
	name, ok := strings.CutPrefix(string(ref), "env:")
	return name, ok && name != ""
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
