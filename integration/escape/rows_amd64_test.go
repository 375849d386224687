package escape

// archRows are the attacks that exist on this architecture only.
func archRows() []row {
	return []row{
		{"S-1/int80", "yes|SIGSEGV", "SIGSYS", but{seccomp: yes}},
		{"S-1/int80-socket", "yes|SIGSEGV", "SIGSYS", but{seccomp: yes}},
		{"S-1/int80-keyctl", "yes|SIGSEGV", "SIGSYS", but{seccomp: yes}},
		{"S-1/x32", "yes|ENOSYS", "SIGSYS", but{seccomp: "yes|ENOSYS"}},
		{"P-7/modify-ldt", "yes|ENOSYS", "EPERM", but{seccomp: "yes|ENOSYS"}},
		{"P-7/iopl", "root|ENOSYS", "EPERM", but{seccomp: "EPERM|ENOSYS"}},
		{"W-4/chmod", yes, "EPERM", but{seccomp: yes}},
		{"W-4/creat", yes, "EPERM", but{seccomp: yes}},
		{"W-4/open", yes, "EPERM", but{seccomp: yes}},
		{"W-4/mknod", yes, "EPERM", but{seccomp: yes}},
	}
}
