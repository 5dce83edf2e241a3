@pytest.mark.parametrize(
    ("name", "header", "expected"),
    [
        ("labels.csv", "file,label,well", True),
        ("labels.tsv", '\ufeff"file"\t"label"', True),
        ("labels.csv", "label; file ;agreement", True),
        ("groups.csv", "file,well", False),
        ("labels.txt", "file,label", False),
        ("profiles.csv", "file_name,label", False),
    ],
)
def test_a_table_of_files_and_labels_is_recognised(
    tmp_path: Path, name: str, header: str, expected: bool
) -> None:
    (tmp_path / name).write_text(f"{header}\n", encoding="utf-8")
    assert Table.recognises(tmp_path / name) is expected
    assert not Table.recognises(tmp_path / "nowhere.csv")
