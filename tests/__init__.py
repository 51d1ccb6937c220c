"""The tests: unit (pure), db (services), web (pages), flow (processes), browser, simulator."""
