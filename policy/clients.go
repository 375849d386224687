package policy

import "path"

// clientConfigs lists the files in which MCP clients keep the commands that
// they run: who may write there runs programs on the host.
func clientConfigs(h Host) []string {
	home := h.Facts().Home
	config := path.Join(home, ".config")
	if dir, ok := h.LookupEnv("XDG_CONFIG_HOME"); ok && path.IsAbs(dir) {
		config = path.Clean(dir)
	}
	var list []string
	for _, file := range []string{
		"Claude/claude_desktop_config.json", "Code/User/mcp.json", "Code - Insiders/User/mcp.json",
		"Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
		"zed/settings.json", "goose/config.yaml", "opencode/opencode.json", "crush/crush.json",
		"amp/settings.json", "Trae/User/mcp.json",
	} {
		list = append(list, path.Join(config, file))
	}
	for _, file := range []string{
		".claude.json", ".claude/settings.json", ".cursor/mcp.json", ".vscode-server/data/User/mcp.json",
		".copilot/mcp-config.json", ".codex/config.toml", ".gemini/settings.json", ".codeium/windsurf/mcp_config.json",
		".codeium/mcp_config.json", ".continue/config.yaml", ".lmstudio/mcp.json", ".kiro/settings/mcp.json",
		".kimi/mcp.json", ".factory/mcp.json", ".qoder/mcp.json", ".vibe/config.toml",
	} {
		list = append(list, path.Join(home, file))
	}
	if dir, ok := h.LookupEnv("CLAUDE_CONFIG_DIR"); ok && path.IsAbs(dir) {
		list = append(list, path.Join(dir, ".claude.json"))
	}
	return list
}
