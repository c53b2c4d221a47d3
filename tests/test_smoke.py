def test_status(sexton):
    assert sexton("status").code == 0
