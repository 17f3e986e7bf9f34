package clients

import "strings"

// javaOptions tell the JVM, which reads no proxy variable. What was there stays,
// without what an earlier call of ours has put there. There is no property for
// a user and password towards a proxy: with an access key Java has to call base
// URLs, or to bring an Authenticator.
func javaOptions(d *desk) string {
	host, port := strings.Trim(d.proxy.Hostname(), "[]"), d.proxy.Port()
	ours := [][2]string{
		{"-Dhttp.proxyHost=", host}, {"-Dhttp.proxyPort=", port},
		{"-Dhttps.proxyHost=", host}, {"-Dhttps.proxyPort=", port},
		{"-Dhttp.nonProxyHosts=", nonProxyHosts(d.direct)},
	}
	if d.Java != "" {
		ours = append(ours, [][2]string{
			{"-Djavax.net.ssl.trustStore=", d.Java},
			{"-Djavax.net.ssl.trustStorePassword=", d.JavaPassword},
			{"-Djavax.net.ssl.trustStoreType=", "PKCS12"},
		}...)
	}
	var options []string
	for _, option := range splitJava(d.existing("JAVA_TOOL_OPTIONS")) {
		if !setsOneOf(option, ours) {
			options = append(options, quoteJava(option))
		}
	}
	for _, property := range ours {
		options = append(options, quoteJava(property[0]+property[1]))
	}
	return strings.Join(options, " ")
}

func setsOneOf(option string, properties [][2]string) bool {
	for _, property := range properties {
		if strings.HasPrefix(option, property[0]) {
			return true
		}
	}
	return false
}

const space = " \t\r\n\v\f"

// splitJava reads a list of options as the JVM does: white space parts them,
// quotes of either kind hold it together and are dropped, nothing escapes
// (JVM Tool Interface, section "The JAVA_TOOL_OPTIONS Environment Variable").
func splitJava(text string) []string {
	var options []string
	var b strings.Builder
	quote, inside := rune(0), false
	for _, r := range text {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			b.WriteRune(r)
		case r == '"' || r == '\'':
			quote, inside = r, true
		case strings.ContainsRune(space, r):
			if inside {
				options = append(options, b.String())
			}
			b.Reset()
			inside = false
		default:
			b.WriteRune(r)
			inside = true
		}
	}
	if inside {
		options = append(options, b.String())
	}
	return options
}

// quoteJava writes one option for splitJava: a quote stands in quotes of the
// other kind.
func quoteJava(option string) string {
	if option != "" && !strings.ContainsAny(option, space+`"'`) {
		return option
	}
	var b strings.Builder
	for i, part := range strings.Split(option, `"`) {
		if i > 0 {
			b.WriteString(`'"'`)
		}
		if part != "" || option == "" {
			b.WriteString(`"` + part + `"`)
		}
	}
	return b.String()
}
