package wire

import (
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

// full is a plan with every field set, by reflection, so that a field that is
// added and forgotten in the codec is noticed.
func full() *Plan {
	p := new(Plan)
	fill(reflect.ValueOf(p).Elem(), 1)
	return p
}

func fill(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n+i)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n+i)
		}
	case reflect.String:
		v.SetString(string(rune('a' + n)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(int64(-n))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(n))
	default:
		panic(v.Kind())
	}
}

func TestCodecKeepsEveryField(t *testing.T) {
	want := full()
	got := new(Plan)
	if err := Unmarshal(Marshal(want), got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	f, back := &Failure{Step: "exec", Path: "/x", Errno: unix.ENOENT, Msg: "m", Exec: true}, new(Failure)
	if err := Unmarshal(Marshal(f), back); err != nil || !reflect.DeepEqual(f, back) {
		t.Errorf("got %+v, %v, want %+v", back, err, f)
	}
}

func TestCodecRefusesWhatIsCutOff(t *testing.T) {
	data := Marshal(full())
	for n := range data {
		if Unmarshal(data[:n], new(Plan)) == nil {
			t.Fatalf("%d of %d bytes were taken for a plan", n, len(data))
		}
	}
	if Unmarshal(append(data, 0), new(Plan)) == nil {
		t.Error("a plan with a byte too many was taken")
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(Marshal(full()))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		p := new(Plan)
		if Unmarshal(data, p) != nil {
			return
		}
		again := new(Plan)
		if err := Unmarshal(Marshal(p), again); err != nil {
			t.Fatal(err)
		}
	})
}
