package seed

import (
	"archive/tar"
	"errors"
	"io"
	"path"
	"strings"

	"pyro/native/internal/event"
)

// errReplaced ends a packing in which a later member takes the place of an
// earlier one: sqfstar would keep the earlier.
var errReplaced = errors.New("a member occurs more than once")

var specialMembers = map[byte]string{
	tar.TypeFifo: "fifo", tar.TypeChar: "character_device", tar.TypeBlock: "block_device",
}

// node is what the members so far have put at a path.
type node struct {
	kind     byte // TypeDir, TypeReg or TypeSymlink
	explicit bool
	link     string // of a symlink: its text; of a hard link: its file
}

// unpacked is the tree that the members make.
type unpacked struct {
	nodes map[string]node
	// last has, when known, the number of the last member of each name; the others are left out.
	last map[string]int
	// count is the number of members so far.
	count    int
	deferred []*tar.Header
}

// lastMembers goes through the archive for the last member of each name.
func (a *archive) lastMembers() (map[string]int, error) {
	last := map[string]int{}
	count := 0
	err := a.members(func(header *tar.Header, _ io.Reader) error {
		count++
		if name, err := memberName(header); err == nil && specialMembers[header.Typeflag] == "" {
			last[name] = count
		}
		return nil
	})
	return last, err
}

// pack writes the archive's members; errReplaced asks for another try that knows the last ones.
func (a *archive) pack(into *image, tally *tally, last map[string]int) error {
	tree := &unpacked{nodes: map[string]node{}, last: last}
	block := make([]byte, buffer)
	err := a.members(func(header *tar.Header, content io.Reader) error {
		return tree.member(into, tally, header, content, block)
	})
	if err != nil {
		return err
	}
	for _, header := range tree.deferred {
		if _, ok := tree.nodes[header.Linkname]; !ok {
			return event.Errorf("bad_member", "archive member %q: hard link to %q, which the archive does not hold", header.Name, header.Linkname)
		}
		if err := tree.hardLink(into, tally, header); err != nil {
			return err
		}
	}
	return nil
}

func (t *unpacked) member(into *image, tally *tally, header *tar.Header, content io.Reader, block []byte) error {
	t.count++
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := memberName(header)
	if err != nil || name == "." {
		return err
	}
	kind, special := kindOf(header)
	if special != "" {
		tally.skipped = append(tally.skipped, skip{Path: name, Type: special})
		return nil
	}
	place := kind
	if kind == tar.TypeLink {
		if header.Linkname, err = cleanName(header.Name, header.Linkname); err != nil {
			return err
		}
		place = tar.TypeReg
	}
	replaced, err := t.place(name, place)
	if err != nil {
		return err
	}
	if replaced && t.last == nil {
		return errReplaced
	}
	if t.last != nil && t.last[name] != t.count {
		return nil
	}
	clean := &tar.Header{
		Typeflag: kind, Name: name, Linkname: header.Linkname, Mode: header.Mode & 0o7777,
		ModTime: timeOf(header.ModTime.UnixNano()), PAXRecords: attributesOf(header),
	}
	switch kind {
	case tar.TypeLink:
		return t.hardLink(into, tally, clean)
	case tar.TypeDir:
		clean.Name += "/"
	case tar.TypeSymlink:
		if clean.Linkname == "" {
			return event.Errorf("unsafe_member", "archive member %q: symlink target is empty", name)
		}
	case tar.TypeReg:
		clean.Size = header.Size
	}
	t.nodes[name] = node{kind: kind, explicit: true, link: clean.Linkname}
	if err := into.WriteHeader(clean); err != nil {
		return err
	}
	tally.entry()
	if kind == tar.TypeReg {
		_, err = io.CopyBuffer(onlyWriter{tally.count(into)}, onlyReader{content}, block)
	}
	return err
}

// hardLink writes a link, or keeps it until its file is there.
func (t *unpacked) hardLink(into *image, tally *tally, header *tar.Header) error {
	target, ok := t.nodes[header.Linkname]
	switch {
	case !ok || !target.explicit:
		t.deferred = append(t.deferred, header)
		return nil
	case target.kind == tar.TypeDir:
		return event.Errorf("bad_member", "archive member %q: hard link to the directory %q", header.Name, header.Linkname)
	case target.kind == tar.TypeSymlink:
		header.Typeflag, header.Linkname = tar.TypeSymlink, target.link
	case target.link != "":
		header.Linkname = target.link
	}
	t.nodes[header.Name] = node{kind: target.kind, explicit: true, link: header.Linkname}
	tally.entry()
	return into.WriteHeader(header)
}

// place checks that a member may be at name, and tells whether one is there already.
func (t *unpacked) place(name string, kind byte) (replaced bool, err error) {
	for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
		switch at, ok := t.nodes[parent]; {
		case !ok:
			t.nodes[parent] = node{kind: tar.TypeDir}
		case at.kind == tar.TypeSymlink:
			return false, event.Errorf("unsafe_member", "archive member %q: symlinked path: %q is a symlink", name, parent)
		case at.kind != tar.TypeDir:
			return false, event.Errorf("unsafe_member", "archive member %q conflicts with existing path %q", name, parent)
		}
	}
	at, ok := t.nodes[name]
	if ok && at.kind != kind {
		return false, event.Errorf("unsafe_member", "archive member %q conflicts with existing path", name)
	}
	return at.explicit, nil
}

// kindOf is what a member is to us, or the reason why it is left out.
func kindOf(header *tar.Header) (kind byte, special string) {
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse, '\x00':
		return tar.TypeReg, ""
	case tar.TypeDir, tar.TypeSymlink, tar.TypeLink:
		return header.Typeflag, ""
	}
	if special := specialMembers[header.Typeflag]; special != "" {
		return 0, special
	}
	return 0, "unknown"
}

func memberName(header *tar.Header) (string, error) {
	return cleanName(header.Name, header.Name)
}

// cleanName is name without what means nothing in it; a name that leads elsewhere is refused.
func cleanName(member, name string) (string, error) {
	reason := ""
	switch {
	case name == "":
		reason = "empty"
	case strings.HasPrefix(name, "/"):
		reason = "absolute"
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			reason = `".."`
		}
	}
	if reason != "" {
		return "", event.Errorf("unsafe_member", "unsafe archive member path %q (%s) of member %q", name, reason, member)
	}
	return path.Clean(name), nil
}

func attributesOf(header *tar.Header) map[string]string {
	var records map[string]string
	for key, value := range header.PAXRecords {
		if name, ok := strings.CutPrefix(key, paxAttribute); ok && keptAttribute(name) {
			if records == nil {
				records = map[string]string{}
			}
			records[key] = value
		}
	}
	return records
}
