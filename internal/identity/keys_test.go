package identity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/internal/chat"
	wirev1 "parley/internal/gen/parley/wire/v1"
	"parley/internal/seal"
	"parley/internal/store"
)

const day24 = 24 * time.Hour

func openStore(t *testing.T, dir string) *store.DB {
	t.Helper()
	db, err := store.Open(store.Config{Dir: dir, Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func load(t *testing.T, db *store.DB, now time.Time) *Keys {
	t.Helper()
	k, err := Load(t.Context(), db, now)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func read(t *testing.T, db *store.DB, fn func(*store.Tx) error) {
	t.Helper()
	if err := db.Read(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, db *store.DB, fn func(*store.Tx) error) {
	t.Helper()
	if err := db.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func TestLoadAgainGivesTheSame(t *testing.T) {
	dir := t.TempDir()
	db := openStore(t, dir)
	a := load(t, db, noon)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b := load(t, openStore(t, dir), noon.Add(time.Hour))
	if a.Account() != b.Account() || a.Device() != b.Device() || a.Phrase() != b.Phrase() ||
		!a.DeviceKey().Equal(b.DeviceKey()) || a.Self().DH != b.Self().DH ||
		!bytes.Equal(a.ManifestBytes(), b.ManifestBytes()) || !bytes.Equal(a.DHCertificate(), b.DHCertificate()) ||
		!bytes.Equal(a.snapshot().bundle.bytes, b.snapshot().bundle.bytes) {
		t.Errorf("%+v came back as %+v", a, b)
	}
	if string(a.Account()) == string(a.Device()) {
		t.Error("account and device share a key")
	}
	m, err := OpenManifest(a.ManifestBytes(), noon)
	if err != nil || m.Account != a.Account() || !m.Lists(a.Device()) || m.Hash != a.Manifest().Hash {
		t.Errorf("own manifest = %+v, %v", m, err)
	}
	dh, err := OpenDHIdentity(a.devicePublic(), a.DHCertificate(), noon)
	if err != nil || dh != a.DH().Public() {
		t.Errorf("own certificate: %v", err)
	}
}

func TestKeysNeverPrint(t *testing.T) {
	k := load(t, openStore(t, t.TempDir()), noon)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("keys", "keys", k, "dh", k.DH())
	text := fmt.Sprintf("%v %+v %#v %s %v", k, k, k, k, k.DH()) + log.String()
	for name, secret := range map[string]string{
		"phrase": strings.Fields(k.Phrase())[0] + " ", "entropy": hex.EncodeToString(k.entropy[:4]),
		"entropy in decimal": fmt.Sprint(k.entropy[:4]), "device": hex.EncodeToString(k.device[:4]), "device in decimal": strings.Trim(fmt.Sprint([]byte(k.device[:4])), "[]"),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("printed keys show the %s: %s", name, text)
		}
	}
}

func TestRestore(t *testing.T) {
	old := load(t, openStore(t, t.TempDir()), noon)
	db := openStore(t, t.TempDir())
	words := strings.Fields(old.Phrase())
	words[6] = "foo"
	if err := Restore(t.Context(), db, strings.Join(words, " ")); !errors.Is(err, chat.ErrInvalid) || !strings.Contains(err.Error(), `word 7, "foo"`) {
		t.Errorf("wrong phrase: %v", err)
	}
	if err := Restore(t.Context(), db, old.Phrase()); err != nil {
		t.Fatal(err)
	}
	k := load(t, db, noon.Add(time.Minute))
	if k.Account() != old.Account() || k.Device() == old.Device() || k.Phrase() != old.Phrase() {
		t.Errorf("restored %s on %s, had %s on %s", k.Account(), k.Device(), old.Account(), old.Device())
	}
	if err := Restore(t.Context(), db, old.Phrase()); !errors.Is(err, chat.ErrConflict) {
		t.Errorf("into a store with an account: %v", err)
	}

	// What the network still knows of the account is taken over.
	if err := k.Adopt(t.Context(), db, old.Manifest(), noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	m := k.Manifest()
	if !m.Lists(k.Device()) || !m.Lists(old.Device()) || m.Seq <= old.Manifest().Seq || !bytes.Equal(m.message.PrevHash, old.manifest.Hash[:]) {
		t.Errorf("adopted manifest = %+v", m)
	}
	again := load(t, db, noon.Add(time.Hour))
	if again.Manifest().Hash != m.Hash {
		t.Error("the adopted manifest was not kept")
	}
}

func TestAdopt(t *testing.T) {
	db := openStore(t, t.TempDir())
	k := load(t, db, noon)
	first := k.Manifest()
	other := keyOf("other device")
	sign := func(previous *Manifest, now time.Time) *Manifest {
		m, err := openManifest(signManifest(k.account, public(other), previous, 0, now))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	adopt := func(m *Manifest, want error) {
		t.Helper()
		if err := k.Adopt(t.Context(), db, m, noon); !errors.Is(err, want) {
			t.Fatalf("Adopt: %v, want %v", err, want)
		}
	}
	both := sign(first, noon.Add(time.Hour))
	adopt(both, nil)
	if k.Manifest().Hash != both.Hash {
		t.Fatal("a higher list with this device in it was not taken as it is")
	}
	adopt(first, nil)
	if k.Manifest().Hash != both.Hash {
		t.Fatal("an old list was taken over")
	}
	alone := sign(nil, noon.Add(2*time.Hour))
	adopt(alone, nil)
	merged := k.Manifest()
	if merged.Seq <= alone.Seq || !merged.Lists(k.Device()) || !merged.Lists(DeviceIDOf(public(other))) {
		t.Fatalf("a higher list without this device became %+v", merged)
	}
	removed, err := openManifest(SignedBytes(k.account, seal.PurposeManifest, encode(&wirev1.Manifest{
		Version: 1, AccountKey: k.AccountKey(), Seq: merged.Seq + 1, NotAfter: noon.Add(day24).Unix(),
		Devices: []*wirev1.ManifestDevice{{DeviceKey: public(other)}}, Revoked: [][]byte{k.devicePublic()},
	})))
	if err != nil {
		t.Fatal(err)
	}
	adopt(removed, chat.ErrBlocked)
	stranger, err := openManifest(newPerson("bo").manifest())
	if err != nil {
		t.Fatal(err)
	}
	adopt(stranger, nil)
	if k.Manifest().Hash != merged.Hash {
		t.Error("a refused list was kept")
	}
}

func TestNinthDevicePushesOutTheOldest(t *testing.T) {
	account := keyOf("account")
	var m *Manifest
	for i := range 9 {
		now := noon.Add(time.Duration(i) * time.Hour)
		var err error
		if m, err = OpenManifest(signManifest(account, public(keyOf(fmt.Sprint(i))), m, 0, now), now); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.Devices) != chat.MaxDevices || m.Lists(DeviceIDOf(public(keyOf("0")))) || !m.Lists(DeviceIDOf(public(keyOf("8")))) {
		t.Errorf("after nine devices: %v", m.Devices)
	}
}

// A year of days: every bundle ever published can be answered for as long as
// it must, and no longer; the caps hold.
func TestRotation(t *testing.T) {
	db := openStore(t, t.TempDir())
	k := load(t, db, noon)
	published := map[[32]byte]time.Time{} // bundle hash -> last time it was current
	dhs := map[[32]byte]bool{}
	boxes := map[string]time.Time{}
	for now := noon; now.Before(noon.Add(400 * day24)); now = now.Add(12 * time.Hour) {
		if _, err := k.Rotate(t.Context(), db, now); err != nil {
			t.Fatal(err)
		}
		r, err := k.deviceRecord([]byte("addresses"), 0, now)
		if err != nil {
			t.Fatalf("day %v: %v", now.Sub(noon)/day24, err)
		}
		if r.BundleUntil.Sub(now) < 13*day24 {
			t.Fatalf("bundle of %s ends at %s", now, r.BundleUntil)
		}
		if _, err := OpenManifest(k.ManifestBytes(), now.Add(190*day24)); err != nil {
			t.Fatalf("half a year after %s: %v", now, err)
		}
		published[r.BundleHash] = now
		dhs[r.Bundle.Owner.DH] = true
		boxes[string(r.SealingKey)] = now
		if now.Sub(noon)%(40*day24) != 0 {
			continue
		}
		read(t, db, func(tx *store.Tx) error {
			for hash, last := range published {
				pair, dh, signed, err := k.PrekeyByBundle(tx, hash)
				age := now.Sub(last)
				if age <= chat.PrekeyLife && err != nil {
					t.Errorf("bundle last published %s ago: %v", age, err)
				}
				if age > chat.PrekeyLife+2*day24 && !errors.Is(err, chat.ErrNotFound) {
					t.Errorf("bundle last published %s ago is still alive: %v", age, err)
				}
				if err != nil {
					continue
				}
				b, _, err := openBundle(signed, last)
				if err != nil {
					return err
				}
				x, kem := pair.Public()
				if b.SignedPrekey != x || !bytes.Equal(b.KEM, kem) || b.Owner.DH != dh.Public() || bundleHash(signed) != hash {
					t.Errorf("the private halves are of another bundle")
				}
			}
			secrets, err := k.BoxSecrets(tx)
			if err != nil {
				return err
			}
			alive := map[string]bool{}
			for _, s := range secrets {
				alive[string(s.Public())] = true
			}
			if !bytes.Equal(secrets[0].Public(), r.SealingKey) {
				t.Error("the current sealing key is not the first")
			}
			for key, last := range boxes {
				if now.Sub(last) <= chat.PrekeyLife && !alive[key] {
					t.Errorf("sealing key last published %s ago is gone", now.Sub(last))
				}
			}
			prekeys, err := tx.Secrets(kindPrekey)
			if err != nil {
				return err
			}
			if len(prekeys) > maxBundles || len(secrets) > maxBoxes {
				t.Errorf("%d bundles and %d sealing keys are kept", len(prekeys), len(secrets))
			}
			return nil
		})
	}
	if len(published) != 400 || len(boxes) != 58 || len(dhs) != 2 {
		t.Errorf("in 400 days %d bundles, %d sealing keys, %d handshake keys", len(published), len(boxes), len(dhs))
	}
}

func TestRotationSurvivesClockJumps(t *testing.T) {
	dir := t.TempDir()
	var last *Keys
	for _, jump := range []time.Duration{0, 400 * day24, -day24, 0, 39 * day24, 41 * day24, 40 * day24} {
		now := noon.Add(jump)
		db := openStore(t, dir)
		k := load(t, db, now)
		r, err := k.deviceRecord(nil, 0, now)
		if err != nil {
			t.Fatalf("after a jump to %s: %v", jump, err)
		}
		read(t, db, func(tx *store.Tx) error {
			secrets, err := k.BoxSecrets(tx)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(secrets, func(s *seal.BoxSecret) bool { return bytes.Equal(s.Public(), r.SealingKey) }) {
				t.Errorf("after a jump to %s the published sealing key is unknown", jump)
			}
			_, _, _, err = k.PrekeyByBundle(tx, r.BundleHash)
			return err
		})
		if last != nil && (last.Account() != k.Account() || last.Device() != k.Device()) {
			t.Fatal("a clock jump changed the identity")
		}
		last = k
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The whole first contact, from one device record to the other's answer.
func TestBundleStartsASession(t *testing.T) {
	db := openStore(t, t.TempDir())
	bo := load(t, db, noon)
	ana := load(t, openStore(t, t.TempDir()), noon)
	record, err := bo.deviceRecord(nil, 0, noon)
	if err != nil {
		t.Fatal(err)
	}
	session, setup, err := seal.Initiate(ana.Self(), ana.DH(), record.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	if setup.Bundle != record.BundleHash {
		t.Fatal("the bundle is named by another hash")
	}
	if _, err := bo.Rotate(t.Context(), db, noon.Add(30*time.Hour)); err != nil {
		t.Fatal(err)
	}
	read(t, db, func(tx *store.Tx) error {
		pair, dh, signed, err := bo.PrekeyByBundle(tx, setup.Bundle)
		if err != nil {
			return err
		}
		self := bo.Self()
		self.DH = dh.Public()
		answer, err := seal.Respond(self, dh, pair, signed, ana.Self(), setup)
		if err != nil || answer == nil || session == nil {
			t.Errorf("Respond: %v", err)
		}
		return nil
	})
}

func TestNewerKeyRowsAreRefused(t *testing.T) {
	db := openStore(t, t.TempDir())
	load(t, db, noon)
	write(t, db, func(tx *store.Tx) error {
		return tx.PutSecret(kindDH, rowCurrent, []byte(`{"Format":2}`), time.Time{})
	})
	if _, err := Load(t.Context(), db, noon); err == nil || !strings.Contains(err.Error(), "format 2, newest known is 1") {
		t.Errorf("Load: %v", err)
	}
}
