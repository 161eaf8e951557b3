package commands

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/cachectl/cachectl/purge"
)

// A manifest is what a build says it made: files by the names they are asked for
// by, or files and digests of them.
type manifest struct {
	list  bool // digests and names of files, as sha256sum prints them; otherwise JSON
	files map[string]*built
	names map[string]bool
}

// A built file is one of a manifest.
type built struct {
	digest string   // empty: the manifest has none
	names  []string // that the manifest knows it by
}

// manifestDiff compares the manifests of two builds, oldPath's deployed before
// newPath's, and brings what a cache may hold in an old form:
//
//   - a file with the same path and another digest;
//   - a file that is gone, together with the name it was known by.
//
// Not among them are files that are new, because nobody asked for them before,
// and the old files of names that got another path ("app.1a2b.js" became
// "app.3c4d.js"): pages that are still open ask for them, and what they hold is
// right. Where a path stays and there is no digest, nobody can tell whether the
// file changed: it is not purged, and a note says how many there are.
//
// Paths are names of files, which maps translate; without maps a file is served
// as its path from the root. A path that begins with "/" or with a scheme is
// what the file is served as, and maps are not asked.
func manifestDiff(oldPath, newPath string, paths []pathMap) (gathering, error) {
	before, err := readManifest(oldPath)
	if err != nil {
		return gathering{}, err
	}
	after, err := readManifest(newPath)
	switch {
	case err != nil:
		return gathering{}, err
	case len(after.files) == 0:
		return gathering{}, withHint(fmt.Errorf("manifest %s names no file: every old one would count as gone", newPath), "did the build end well?")
	case len(before.files) > 0 && before.list != after.list:
		return gathering{}, fmt.Errorf("manifests %s and %s are not of the same kind: one is JSON, the other a list of digests", oldPath, newPath)
	}
	g, err := compareManifests(before, after, paths)
	if err != nil {
		err = fmt.Errorf("manifests %s and %s: %w", oldPath, newPath, err)
	}
	return g, err
}

func compareManifests(before, after manifest, paths []pathMap) (g gathering, err error) {
	superseded, untold := 0, 0
	for _, path := range slices.Sorted(maps.Keys(before.files)) {
		was, is := before.files[path], after.files[path]
		switch {
		case is == nil && slices.ContainsFunc(was.names, func(n string) bool { return after.names[n] }):
			superseded++
			continue
		case is == nil:
		case was.digest == "" || is.digest == "":
			untold++
			continue
		case !comparableDigests(was.digest, is.digest):
			return gathering{}, fmt.Errorf("%s: the digests %s and %s are not of the same kind", path, cutText(was.digest), cutText(is.digest))
		case sameDigest(was.digest, is.digest):
			continue
		}
		g.addBuilt(path, paths)
	}
	if superseded > 0 {
		g.notes = append(g.notes, plural(int64(superseded), "file")+" got another path: what stood at the old one is not purged, pages that are still open ask for it")
	}
	if untold > 0 {
		g.notes = append(g.notes, plural(int64(untold), "file")+" with the same path as before and no digest: whether they changed is not known. They are not purged, which is right if their paths hold a hash")
	}
	g.tell()
	return g, nil
}

// addBuilt adds a path of a manifest.
func (g *gathering) addBuilt(path string, paths []pathMap) {
	switch {
	case strings.HasPrefix(path, "//"): // a URL without its scheme, as pages use it
		g.files++
		g.add(purge.Item{Kind: purge.URL, Value: "https:" + encode(path, urlUnsafe)})
	case strings.HasPrefix(path, "/"):
		g.files++
		g.add(purge.Item{Kind: purge.Path, Value: encode(path, urlUnsafe+"*")})
	case isURL(path):
		g.files++
		g.add(purge.Item{Kind: purge.URL, Value: encode(path, urlUnsafe)})
	case len(paths) == 0:
		g.files++
		g.add(purge.Item{Kind: purge.Path, Value: "/" + encodePath(path)})
	default:
		g.addFile(path, paths)
	}
}

// largestManifest is far beyond what any build makes.
const largestManifest = 256 << 20

func readManifest(path string) (manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return manifest{}, fmt.Errorf("manifest: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, largestManifest+1))
	if err == nil && len(text) > largestManifest {
		err = fmt.Errorf("larger than %d MiB", largestManifest>>20)
	}
	var m manifest
	if err == nil {
		m, err = parseManifest(text)
	}
	if err != nil {
		return manifest{}, fmt.Errorf("manifest %s: %w", path, err)
	}
	return m, nil
}

var errNoManifest = errors.New(`it is neither JSON (name to file, as webpack and Vite write it) nor a list of digests (as sha256sum writes it)`)

// parseManifest tells the form by the content.
func parseManifest(text []byte) (manifest, error) {
	m := manifest{files: make(map[string]*built), names: make(map[string]bool)}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	switch head := bytes.TrimLeft(text, " \t\r\n"); {
	case len(head) == 0:
		return m, nil
	case head[0] == '{':
		return m, m.readJSON(head)
	case head[0] == '[' || head[0] == '"':
		return m, fmt.Errorf("%w: the JSON is not an object", errNoManifest)
	}
	m.list = true
	return m, m.readDigests(text)
}

// file takes note of one file. The same file may come under several names.
func (m *manifest) file(name, path, digest string) error {
	for strings.HasPrefix(path, "./") {
		path = path[2:]
	}
	if path == "" {
		return fmt.Errorf("%q has an empty path", name)
	}
	if m.list {
		name = path
	}
	f := m.files[path]
	if f == nil {
		f = &built{}
		m.files[path] = f
	}
	switch {
	case f.digest == "":
		f.digest = digest
	case digest != "" && comparableDigests(f.digest, digest) && !sameDigest(f.digest, digest):
		return fmt.Errorf("%s has two digests", path)
	}
	f.names = append(f.names, name)
	m.names[name] = true
	return nil
}

func (m *manifest) readJSON(text []byte) error {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(text, &top); err != nil {
		return fmt.Errorf("not whole JSON: %w", err)
	}
	if err := m.members(top, "", 0); err != nil {
		return err
	}
	if len(top) > 0 && len(m.files) == 0 {
		return fmt.Errorf("%w: no member of the JSON names a file", errNoManifest)
	}
	return nil
}

// deepest is how far objects may stand in one another.
const deepest = 16

// members reads an object of names. What is neither text nor an object (lists of
// entry points, versions, sizes) repeats files or names none. within is what the
// object is known by, for the names in it.
func (m *manifest) members(object map[string]json.RawMessage, within string, depth int) error {
	if depth > deepest {
		return fmt.Errorf("%w: objects stand more than %d deep in one another", errNoManifest, deepest)
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		raw := object[name]
		var err error
		switch raw[0] {
		case '"':
			var text string
			if err = json.Unmarshal(raw, &text); err == nil && digestLike(text) {
				err = m.file(within+name, name, text)
			} else if err == nil {
				err = m.file(within+name, text, "")
			}
		case '{':
			var inner map[string]json.RawMessage
			if err = json.Unmarshal(raw, &inner); err == nil && name != "entrypoints" {
				err = m.entry(within, name, inner, depth)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entry reads what an object says of one name, or the names that it holds. A
// Vite entry has the source in src, webpack-assets-manifest the file.
func (m *manifest) entry(within, name string, object map[string]json.RawMessage, depth int) error {
	path, digest := textOf(object, "file", "src", "path", "url"), textOf(object, "integrity", "hash", "sha256", "digest", "revision")
	switch {
	case path == "" && digest == "":
		return m.members(object, within+name+" ", depth+1)
	case path == "":
		path = name
	}
	if err := m.file(within+name, path, digest); err != nil {
		return err
	}
	for _, list := range []string{"css", "assets"} { // Vite: what comes with the file
		var also []string
		if raw, ok := object[list]; ok && json.Unmarshal(raw, &also) == nil {
			for _, path := range also {
				if err := m.file(within+name+" "+list, path, ""); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// textOf is the first of the members that is there and text.
func textOf(object map[string]json.RawMessage, names ...string) string {
	for _, name := range names {
		var text string
		if raw, ok := object[name]; ok && json.Unmarshal(raw, &text) == nil && text != "" {
			return text
		}
	}
	return ""
}

// What the programs of coreutils print (md5sum to sha512sum, b2sum), and their
// --tag and BSD form.
var (
	digestLine = regexp.MustCompile(`(?s)\A(\\?)([0-9A-Fa-f]+) [ *](.+)\z`)
	taggedLine = regexp.MustCompile(`(?s)\A(\\?)[A-Z][A-Za-z0-9/-]* ?\((.+)\) = ([0-9A-Fa-f]+)\z`)
	unescape   = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r")
)

func (m *manifest) readDigests(text []byte) error {
	n := 0
	for raw := range bytes.Lines(text) {
		n++
		line := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
		if line == "" {
			continue
		}
		escaped, digest, path := "", "", ""
		if parts := digestLine.FindStringSubmatch(line); parts != nil {
			escaped, digest, path = parts[1], parts[2], parts[3]
		} else if parts := taggedLine.FindStringSubmatch(line); parts != nil {
			escaped, path, digest = parts[1], parts[2], parts[3]
		}
		if !hexDigest(digest) {
			if n == 1 {
				return errNoManifest
			}
			return fmt.Errorf("line %d: %q is no digest and name of a file", n, cutText(line))
		}
		if escaped != "" {
			path = unescape.Replace(path)
		}
		if err := m.file(path, path, strings.ToLower(digest)); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return nil
}

// hexDigest tells whether text has the length of a digest in hexadecimal, from
// MD5 to SHA-512.
func hexDigest(text string) bool {
	return slices.Contains([]int{32, 40, 56, 64, 96, 128}, len(text)) && strings.Trim(text, "0123456789abcdefABCDEF") == ""
}

// digestLike tells digests from paths: hexadecimal, or as in an integrity
// attribute ("sha384-...", several with spaces between).
func digestLike(text string) bool {
	if hexDigest(text) {
		return true
	}
	for part := range strings.FieldsSeq(text) {
		algorithm, sum, ok := strings.Cut(part, "-")
		if _, err := base64.StdEncoding.DecodeString(sum); !ok || err != nil || !strings.HasPrefix(algorithm, "sha") || len(sum) < 40 {
			return false
		}
	}
	return text != ""
}

// comparableDigests tells whether two digests could be equal if the files were.
func comparableDigests(a, b string) bool {
	if strings.HasPrefix(a, "sha") || strings.HasPrefix(b, "sha") {
		kindA, _, _ := strings.Cut(a, "-")
		kindB, _, _ := strings.Cut(b, "-")
		return kindA == kindB
	}
	return hexDigest(a) == hexDigest(b) && (!hexDigest(a) || len(a) == len(b))
}

func sameDigest(a, b string) bool { return a == b || hexDigest(a) && strings.EqualFold(a, b) }
