package config

// AdminOf reads where the commands find an Outrider that runs with this document, and the key
// that it asks for, and nothing else of it: what is wrong elsewhere must not hide the process
// that has refused to load it. What is not written, or is wrong itself, is as it is by default.
// The error is one of syntax, and names the document by name.
func AdminOf(name string, data []byte) (admin string, accessKey Reference, err error) {
	f := Default()
	raw, _, failed := decode(data)
	if failed != nil {
		failed.File = name
		return f.Admin, f.AccessKey, failed
	}
	root := node{"", raw, &report{failed: map[string]bool{}}}
	for _, field := range fileKeys {
		if (field.key == "admin" || field.key == "access_key") && root.has(field.key) {
			field.read(root.child(field.key), f)
		}
	}
	return f.Admin, f.AccessKey, nil
}
