package clients

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A format writes variables for one reader.
type format struct {
	before string // a line in front of them
	line   func(name, value string) string
	flat   bool // a value cannot have line ends
}

var formats = map[string]format{ // name → format
	"sh":         {line: func(name, value string) string { return "export " + name + "=" + quoteSh(value) }},
	"fish":       {line: func(name, value string) string { return "set -gx " + name + " " + quoteFish(value) }},
	"powershell": {line: func(name, value string) string { return "$env:" + name + " = " + quotePowerShell(value) }},
	"dotenv":     {line: func(name, value string) string { return name + "=" + quoteDotenv(value) }},
	"docker":     {line: func(name, value string) string { return name + "=" + value }, flat: true},
	"kubernetes": {before: "env:", line: kubernetesItem},
}

// Shells are the names that Render knows.
func Shells() []string { return slices.Sorted(maps.Keys(formats)) }

// Render writes variables for a shell (sh, fish, powershell), as an env file
// (dotenv, and docker, whose --env-file knows no quotes), or as the env of a
// container in a pod (kubernetes).
func Render(variables []Variable, shell string) (string, error) {
	f, known := formats[shell]
	if !known {
		return "", fmt.Errorf("no such shell: %q; there are %s", shell, strings.Join(Shells(), ", "))
	}
	var b strings.Builder
	if f.before != "" {
		b.WriteString(f.before + "\n")
	}
	for _, v := range variables {
		if strings.ContainsRune(v.Value, 0) || f.flat && strings.ContainsAny(v.Value, "\r\n") {
			return "", fmt.Errorf("the value of %s cannot be written for %s", v.Name, shell)
		}
		b.WriteString(f.line(v.Name, v.Value) + "\n")
	}
	return b.String(), nil
}

// quoteSh knows one special character inside of single quotes: their end
// (POSIX.1 Shell Command Language, section 2.2.2).
func quoteSh(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func quoteFish(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

// quotePowerShell doubles what ends a string: PowerShell takes the typographic
// quotes for plain ones.
func quotePowerShell(s string) string {
	return "'" + strings.NewReplacer("'", "''", "‘", "‘‘", "’", "’’", "‚", "‚‚", "‛", "‛‛").Replace(s) + "'"
}

// quoteDotenv has no standard to follow. What needs no quotes gets none, single
// quotes are literal for every reader, and double quotes are for the rest.
func quoteDotenv(s string) string {
	switch {
	case s != "" && strings.Trim(s, plain) == "":
		return s
	case !strings.ContainsAny(s, "'\r\n"):
		return "'" + s + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "\n", `\n`, "\r", `\r`).Replace(s) + `"`
}

const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:,@%+-"

// kubernetesItem writes the value as JSON, which YAML understands. Kubernetes
// replaces $(NAME), and $$ by one dollar.
func kubernetesItem(name, value string) string {
	quoted, _ := json.Marshal(strings.ReplaceAll(value, "$", "$$"))
	return "- name: " + name + "\n  value: " + string(quoted)
}
