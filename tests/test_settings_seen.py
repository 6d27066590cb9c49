"""Every setting has a test that sees its effect; this is the list of them."""

import ast
from pathlib import Path
from typing import Final

import pytest

from app.settings import fields

ROOT: Final = Path(__file__).parent
EFFECTS: Final = "app/test_settings_effects.py"
SEEN: Final = {
    "host": ("e2e/alone/test_start_and_stop.py", "test_a_taken_port_is_said"),
    "port": ("e2e/alone/test_start_and_stop.py", "test_a_taken_port_is_said"),
    "tls_cert": ("e2e/alone/test_keys_and_tls.py", "test_tls_alone_is_spoken"),
    "tls_key": ("e2e/alone/test_keys_and_tls.py", "test_tls_alone_is_spoken"),
    "hsts_s": ("app/test_headers.py", "test_browsers_are_told_to_keep_to_https_where_the_service_speaks_it"),
    "trusted_proxies": ("app/test_proxies.py", "test_behind_a_proxy_a_request_has_its_sender_and_the_scheme_that_was_used"),
    "path_prefix": ("app/test_path_prefix.py", "test_every_path_is_answered_with_and_without_the_prefix"),
    "api_keys": ("app/test_doors.py", "test_each_key_opens"),
    "api_keys_file": ("e2e/alone/test_keys_and_tls.py", "test_keys_come_and_go_with_the_file_and_a_broken_one_changes_nothing"),
    "requests_per_minute": ("app/test_rates.py", "test_one_request_too_many_is_refused_and_other_keys_are_served"),
    "audio_s_per_minute": (
        "app/test_rates.py",
        "test_audio_that_was_heard_is_counted_and_too_much_refuses_the_next_file_alone",
    ),
    "cors_origins": ("app/test_doors.py", "test_a_page_may_read_every_answer_and_a_foreign_one_none"),
    "page": ("app/test_page.py", "test_the_page_can_be_closed"),
    "model": ("e2e/alone/test_start_and_stop.py", "test_a_model_that_is_not_there_ends_the_service_with_a_clear_message"),
    "recognizer": ("unit/test_container.py", "test_a_recogniser_of_another_make_is_built_from_the_settings"),
    "device": (EFFECTS, "test_the_device_and_the_precision_reach_the_recogniser"),
    "precision": (EFFECTS, "test_the_device_and_the_precision_reach_the_recogniser"),
    "min_replicas": ("cluster/test_scaling.py", "test_replicas_come_with_what_waits_and_go_when_nothing_does"),
    "replica_audio_s": ("cluster/test_scaling.py", "test_replicas_come_with_what_waits_and_go_when_nothing_does"),
    "replica_idle_s": ("cluster/test_scaling.py", "test_replicas_come_with_what_waits_and_go_when_nothing_does"),
    "replicas": ("cluster/test_replicas.py", "test_the_replicas_of_the_settings_are_found_and_asked"),
    "ray_address": ("cluster/test_replicas.py", "test_the_replicas_of_the_settings_are_found_and_asked"),
    "replica_cpus": ("cluster/test_replicas.py", "test_replicas_have_the_processors_of_the_settings"),
    "replica_gpus": ("cluster/test_replicas.py", "test_replicas_have_the_processors_of_the_settings"),
    "model_aliases": ("app/test_app.py", "test_the_model_answers_to_its_own_name_and_to_the_aliases_that_were_set"),
    "max_upload_mb": ("app/test_app.py", "test_an_upload_over_the_limit_is_413"),
    "max_audio_s": ("app/test_app.py", "test_audio_over_the_limit_is_refused"),
    "decode_processes": ("app/test_decoding.py", "test_the_service_decodes_in_a_process_of_its_own_and_ends_it"),
    "decode_memory_mib": ("app/test_decoding.py", "test_the_service_decodes_in_a_process_of_its_own_and_ends_it"),
    "decode_stall_s": ("app/test_decoding.py", "test_a_decoder_that_says_nothing_for_decode_stall_s_is_ended_and_its_file_refused"),
    "single_pass_s": (EFFECTS, "test_a_file_goes_whole_up_to_single_pass_s_and_else_in_windows_of_window_s"),
    "window_s": (EFFECTS, "test_a_file_goes_whole_up_to_single_pass_s_and_else_in_windows_of_window_s"),
    "max_waiting_s": ("app/test_app.py", "test_a_full_queue_is_503_and_says_when_to_come_again"),
    "max_wait_s": (EFFECTS, "test_a_file_that_would_wait_longer_than_max_wait_s_is_refused"),
    "linger_ms": (EFFECTS, "test_a_lone_clip_waits_linger_ms_for_as_many_as_there_were"),
    "file_patience_s": (EFFECTS, "test_a_file_takes_turns_with_live_sessions_after_file_patience_s"),
    "file_run_ms": (EFFECTS, "test_file_batches_run_for_file_run_ms_while_a_live_session_is_open"),
    "deadline_s": (EFFECTS, "test_a_transcription_that_takes_longer_than_deadline_s_is_503"),
    "max_requests": (EFFECTS, "test_a_transcription_more_than_max_requests_is_503"),
    "max_connections": (
        "e2e/alone/test_slow_clients.py",
        "test_a_connection_more_than_max_connections_waits_until_another_is_closed",
    ),
    "connection_idle_s": ("e2e/alone/test_slow_clients.py", "test_connections_that_bring_no_request_are_closed"),
    "upload_idle_s": ("app/test_uploads.py", "test_an_upload_that_stops_holds_no_place_until_it_is_given_up"),
    "upload_least_kb_s": ("app/test_uploads.py", "test_an_upload_that_dribbles_is_given_up_where_it_is_slower_than_allowed"),
    "stall_s": ("e2e/alone/test_slow_clients.py", "test_a_session_whose_client_does_not_read_is_cut_off_and_holds_nobody_up"),
    "stuck_s": ("app/test_app.py", "test_a_batch_that_does_not_come_back_is_given_up_in_the_end"),
    "drain_s": ("e2e/alone/test_going_down.py", "test_what_is_not_finished_in_time_is_told_so_and_a_second_signal_ends_it_at_once"),
    "max_live_sessions": ("app/test_ws_doors.py", "test_one_session_more_than_there_is_room_for_is_told_to_come_again"),
    "live_backlog_s": ("app/test_ws_doors.py", "test_a_session_that_sends_more_than_may_wait_is_closed_and_its_work_withdrawn"),
    "live_utterance_s": ("app/test_ws.py", "test_speech_that_does_not_end_is_cut_and_no_word_is_lost"),
    "live_idle_s": ("app/test_ws_doors.py", "test_a_client_that_sends_nothing_gets_what_it_said_and_is_closed"),
    "realtime_session_s": ("app/test_realtime_doors.py", "test_a_session_ends_when_its_time_is_over_and_says_all_it_heard"),
    "log_level": (EFFECTS, "test_nothing_below_the_log_level_is_logged"),
    "log_format": ("app/test_logs.py", "test_the_log_format_says_how_an_event_is_written"),
    "traces_endpoint": ("app/test_traces.py", "test_traces_endpoint_turns_traces_on"),
}


def test_each_setting_names_a_test() -> None:
    assert sorted(SEEN) == sorted(fields())


@pytest.mark.parametrize("name", SEEN)
def test_the_test_is_there(name: str) -> None:
    path, test = SEEN[name]
    tests = {node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)}
    assert test in tests
